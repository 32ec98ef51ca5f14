package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// nativeParts are the parts of a native bottle, by whose process it is.
var nativeParts = []string{"launcher", "supervisor", "guest", "bwrap", "harness"}

// measureNativeMemory adds what each part of one bottle has. Root alone may
// look into a guest.
func measureNativeMemory(ctx context.Context, b *bench, _ string) error {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: the memory of a guest is closed to its own user, these rows want root")
		return nil
	}
	return b.eachPerson(func(p *person) error {
		used, ours := map[string][]float64{}, []float64{}
		for range bottles {
			one, err := p.launchFleet(ctx, 1)
			if err != nil {
				return err
			}
			for part, sum := range one.memory {
				used[part] = append(used[part], sum)
			}
			ours = append(ours, one.memory["launcher"]+one.memory["supervisor"]+one.memory["guest"])
		}
		const shared = "what is shared counts by its part"
		p.report.add("native, "+p.name+": memory of launcher, supervisor and guest", "MiB", 30, ours, shared)
		for _, part := range nativeParts {
			p.report.add("native, "+p.name+": memory of one bottle, "+part, "MiB", 0, used[part], shared)
		}
		return nil
	})
}

// measureNativeFleet launches many bottles at once, of each size one fleet.
func measureNativeFleet(ctx context.Context, b *bench, _ string) error {
	return b.eachPerson(func(p *person) error {
		if _, err := p.launchFleet(ctx, 1); err != nil { // it installs the program
			return err
		}
		var each []float64
		for text := range strings.SplitSeq(b.fleet, ",") {
			size, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil || size < 1 {
				return fmt.Errorf("--fleet: %q is no number of bottles", text)
			}
			f, err := p.launchFleet(ctx, size)
			if err != nil {
				return fmt.Errorf("%d bottles at once: %w", size, err)
			}
			p.addFleet(size, f)
			each = append(each, (f.ready+f.gone).Seconds()*1000/float64(size))
		}
		p.report.add("native, "+p.name+": time a bottle, of each fleet", "ms", 0, each, "ready and removed; linear when it does not grow")
		return nil
	})
}

func (p *person) addFleet(size int, f fleet) {
	name := fmt.Sprintf("native, %s: %d at once, ", p.name, size)
	p.report.add(name+"all ready", "ms", 0, milliseconds([]time.Duration{f.ready}),
		number(f.ready.Seconds()*1000/float64(size), "ms")+" a bottle; removed in "+number(f.gone.Seconds()*1000, "ms"))
	var total float64
	var shown []string
	for _, part := range nativeParts {
		if sum := f.memory[part] / float64(size); sum > 0 {
			total += sum
			shown = append(shown, part+" "+number(sum, ""))
		}
	}
	if total > 0 {
		p.report.add(name+"memory a bottle", "MiB", 0, []float64{total}, strings.Join(shown, ", "))
	}
}

// launchFleet launches size bottles at once, has each of them say something,
// measures them, removes them, and sees that nothing is left.
func (p *person) launchFleet(ctx context.Context, size int) (f fleet, err error) {
	begin := time.Now()
	var bottles []*held
	defer func() {
		ending := time.Now()
		err = errors.Join(err, endAll(bottles))
		f.gone = time.Since(ending)
		err = errors.Join(err, p.left())
	}()
	var launchers []int
	for i := range size {
		agent := []string{"hold", "also"}[i%2] // one has 99 names
		h, err := hold(p.ours(ctx, "start", agent, "--yes"))
		if err != nil {
			return f, err
		}
		bottles = append(bottles, h)
		launchers = append(launchers, h.cmd.Process.Pid)
	}
	var waiting errgroup.Group
	for _, h := range bottles {
		waiting.Go(h.ready)
	}
	if err := waiting.Wait(); err != nil {
		return f, err
	}
	f.ready = time.Since(begin)
	for _, h := range bottles {
		if err := h.answers(); err != nil {
			return f, err
		}
	}
	if os.Getuid() == 0 {
		f.memory, err = nativeUsage(launchers)
	}
	return f, err
}

// answers says whether the program inside still reads and writes.
func (h *held) answers() error {
	if _, err := fmt.Fprintln(h.stdin, "here"); err != nil {
		return err
	}
	line, err := h.stdout.ReadString('\n')
	if err != nil || line != "here\n" {
		return fmt.Errorf("a bottle answered %q: %w", line, err)
	}
	return nil
}

// left says what is left of bottles that are gone: a name, a socket, a process.
func (p *person) left() error {
	state := filepath.Join(p.home, "state", "claude-bottle")
	var found []string
	for _, pattern := range []string{"native/*", "runs/*/*.sock"} {
		paths, err := filepath.Glob(filepath.Join(state, pattern))
		if err != nil {
			return err
		}
		found = append(found, paths...)
	}
	all, err := processes()
	if err != nil {
		return err
	}
	for _, o := range all {
		if line := strings.Join(o.args, " "); strings.Contains(line, state) || strings.HasPrefix(o.args[0], p.binary) {
			found = append(found, fmt.Sprintf("process %d: %s", o.pid, line))
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("left of bottles that were removed: %s", strings.Join(found, ", "))
	}
	return nil
}

// nativeUsage sums the memory of bottles by part.
func nativeUsage(launchers []int) (map[string]float64, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	sums := map[string]float64{}
	for _, launcher := range launchers {
		below := descendants(all, launcher)
		for _, o := range all {
			if o.pid != launcher && !below[o.pid] {
				continue
			}
			used, err := memoryOf(o.pid)
			if err != nil {
				return nil, err
			}
			sums[nativePart(o, launcher)] += used.share
		}
	}
	return sums, nil
}

func nativePart(p process, launcher int) string {
	line := strings.Join(p.args, " ")
	switch {
	case p.pid == launcher:
		return "launcher"
	case p.args[0] == "bwrap":
		return "bwrap"
	case strings.HasPrefix(line, "claude-bottle supervise"):
		return "supervisor"
	case strings.Contains(line, "guest init"):
		return "guest"
	}
	return "harness"
}
