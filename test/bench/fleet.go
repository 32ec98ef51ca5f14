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

// fleet is what many bottles at once cost.
type fleet struct {
	ready, gone time.Duration // until the last was ready; from the first's end to the last's
	memory      map[string]float64
}

// fleets is how a platform's are measured.
type fleets struct {
	name   string   // "native, as root"
	parts  []string // of a bottle, whose memory counts
	launch func(ctx context.Context, size int) (fleet, error)
}

// measureFleet launches fleets of bottles of docker's.
func measureFleet(ctx context.Context, b *bench, runtime string) error {
	return b.measureFleets(ctx, fleets{"docker, " + runtime, parts, func(ctx context.Context, size int) (fleet, error) {
		return b.dockerFleet(ctx, runtime, size)
	}})
}

// measureFleets launches many bottles at once, of each size one fleet.
func (b *bench) measureFleets(ctx context.Context, of fleets) error {
	var each []float64
	for text := range strings.SplitSeq(b.fleet, ",") {
		size, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || size < 1 {
			return fmt.Errorf("--fleet: %q is no number of bottles", text)
		}
		f, err := of.launch(ctx, size)
		if err != nil {
			return fmt.Errorf("%d bottles at once: %w", size, err)
		}
		b.addFleet(of, size, f)
		each = append(each, (f.ready+f.gone).Seconds()*1000/float64(size))
	}
	b.report.add(of.name+": time a bottle, of each fleet", "ms", 0, each, "ready and removed; linear when it does not grow")
	return nil
}

func (b *bench) addFleet(of fleets, size int, f fleet) {
	name := fmt.Sprintf("%s: %d at once, ", of.name, size)
	b.report.add(name+"all ready", "ms", 0, milliseconds([]time.Duration{f.ready}),
		number(f.ready.Seconds()*1000/float64(size), "ms")+" a bottle; removed in "+number(f.gone.Seconds()*1000, "ms"))
	var total float64
	var shown []string
	for _, part := range of.parts {
		if sum := f.memory[part] / float64(size); sum > 0 {
			total += sum
			shown = append(shown, part+" "+number(sum, ""))
		}
	}
	if total > 0 {
		b.report.add(name+"memory a bottle", "MiB", 0, []float64{total}, strings.Join(shown, ", "))
	}
}

// launchFleet launches size bottles at once, measures them by look, which gets
// the launchers, when all are ready, and removes them.
func launchFleet(size int, launch func(i int) *exec.Cmd, look func([]*held) (map[string]float64, error)) (f fleet, err error) {
	begin := time.Now()
	var bottles []*held
	defer func() {
		ending := time.Now()
		err = errors.Join(err, endAll(bottles))
		f.gone = time.Since(ending)
	}()
	for i := range size {
		h, err := hold(launch(i))
		if err != nil {
			return f, err
		}
		bottles = append(bottles, h)
	}
	var waiting errgroup.Group
	for _, h := range bottles {
		waiting.Go(h.ready)
	}
	if err := waiting.Wait(); err != nil {
		return f, err
	}
	f.ready = time.Since(begin)
	f.memory, err = look(bottles)
	return f, err
}

// launchers are the processes of those that are held.
func launchers(bottles []*held) (pids []int) {
	for _, h := range bottles {
		pids = append(pids, h.cmd.Process.Pid)
	}
	return pids
}

// dockerFleet counts the containers of a fleet, and measures it.
func (b *bench) dockerFleet(ctx context.Context, runtime string, size int) (fleet, error) {
	launch := func(int) *exec.Cmd { return b.ours(ctx, "start", "hold-"+runtime, "--yes") }
	return launchFleet(size, launch, func(bottles []*held) (map[string]float64, error) {
		ids, err := output(b.docker(ctx, "ps", "-q", "--no-trunc", "--filter", "label=claude-bottle.owner="+b.owner))
		if err != nil {
			return nil, err
		}
		containers := strings.Fields(string(ids))
		if len(containers) != 2*size {
			return nil, fmt.Errorf("the engine runs %d containers, not %d", len(containers), 2*size)
		}
		return usage(launchers(bottles), slices.Compact(containers))
	})
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
