package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// held is a launch whose harness waits until its input ends.
type held struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// hold starts one and returns at once.
func hold(cmd *exec.Cmd) (*held, error) {
	h := &held{cmd: cmd}
	cmd.Stderr = &h.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.stdout = bufio.NewReader(stdout)
	if h.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return h, cmd.Start()
}

// ready waits until the harness runs.
func (h *held) ready() error {
	line, err := h.stdout.ReadString('\n')
	if err != nil {
		return fmt.Errorf("it printed %q: %w", line, err)
	}
	return nil
}

// end lets the harness end and waits until the bottle is gone.
func (h *held) end() error {
	_ = h.stdin.Close()
	_, _ = io.Copy(io.Discard, h.stdout)
	if err := h.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(h.cmd.Args, " "), err, h.stderr.String())
	}
	return nil
}

// measureFleet launches many bottles at once, of each size one fleet.
func measureFleet(ctx context.Context, b *bench, runtime string) error {
	var each []float64
	for text := range strings.SplitSeq(b.fleet, ",") {
		size, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || size < 1 {
			return fmt.Errorf("--fleet: %q is no number of bottles", text)
		}
		one, err := b.launchFleet(ctx, runtime, size)
		if err != nil {
			return fmt.Errorf("%d bottles at once: %w", size, err)
		}
		b.addFleet(runtime, size, one)
		each = append(each, one.ready.Seconds()*1000/float64(size))
	}
	b.report.add("docker, "+runtime+": time a bottle, of each fleet", "ms", 0, each, "linear when it does not grow")
	return nil
}

// fleet is what one cost.
type fleet struct {
	ready, gone time.Duration // until the last was ready; from the first's end to the last's
	memory      map[string]float64
}

func (b *bench) addFleet(runtime string, size int, f fleet) {
	name := fmt.Sprintf("docker, %s: %d at once, ", runtime, size)
	b.report.add(name+"all ready", "ms", 0, milliseconds([]time.Duration{f.ready}),
		number(f.ready.Seconds()*1000/float64(size), "ms")+" a bottle; removed in "+number(f.gone.Seconds()*1000, "ms"))
	var total float64
	var shown []string
	for _, part := range parts {
		if sum := f.memory[part] / float64(size); sum > 0 {
			total += sum
			shown = append(shown, part+" "+number(sum, ""))
		}
	}
	b.report.add(name+"memory a bottle", "MiB", 0, []float64{total}, strings.Join(shown, ", "))
}

func (b *bench) launchFleet(ctx context.Context, runtime string, size int) (f fleet, err error) {
	begin := time.Now()
	var bottles []*held
	var pids []int
	defer func() {
		ending := time.Now()
		err = errors.Join(err, endAll(bottles))
		f.gone = time.Since(ending)
	}()
	for range size {
		h, err := hold(b.ours(ctx, "start", "hold-"+runtime, "--yes"))
		if err != nil {
			return f, err
		}
		bottles = append(bottles, h)
		pids = append(pids, h.cmd.Process.Pid)
	}
	var waiting errgroup.Group
	for _, h := range bottles {
		waiting.Go(h.ready)
	}
	if err := waiting.Wait(); err != nil {
		return f, err
	}
	f.ready = time.Since(begin)
	ids, err := output(b.docker(ctx, "ps", "-q", "--no-trunc", "--filter", "label=claude-bottle.owner="+b.owner))
	if err != nil {
		return f, err
	}
	containers := strings.Fields(string(ids))
	if len(containers) != 2*size {
		return f, fmt.Errorf("the engine runs %d containers, not %d", len(containers), 2*size)
	}
	f.memory, err = usage(pids, slices.Compact(containers))
	return f, err
}

func endAll(bottles []*held) error {
	errs := make([]error, len(bottles))
	var ending errgroup.Group
	for i, h := range bottles {
		ending.Go(func() error {
			errs[i] = h.end()
			return nil
		})
	}
	_ = ending.Wait() // the errors are in errs
	return errors.Join(errs...)
}
