package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
			one, err := p.nativeFleet(ctx, 1)
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

// measureNativeFleet launches fleets of native bottles.
func measureNativeFleet(ctx context.Context, b *bench, _ string) error {
	return b.eachPerson(func(p *person) error {
		if _, err := p.nativeFleet(ctx, 1); err != nil { // it installs the program
			return err
		}
		return b.measureFleets(ctx, fleets{"native, " + p.name, nativeParts, p.nativeFleet})
	})
}

// nativeFleet has each bottle of a fleet say something, measures them, and sees
// that nothing is left.
func (p *person) nativeFleet(ctx context.Context, size int) (fleet, error) {
	launch := func(i int) *exec.Cmd {
		agent := []string{"hold", "also"}[i%2] // one has 99 names
		return p.ours(ctx, "start", agent, "--yes")
	}
	f, err := launchFleet(size, launch, func(bottles []*held) (map[string]float64, error) {
		for _, h := range bottles {
			if err := h.answers(); err != nil {
				return nil, err
			}
		}
		if os.Getuid() != 0 {
			return nil, nil // a guest's memory is closed to its own user
		}
		return nativeUsage(launchers(bottles))
	})
	return f, errors.Join(err, p.left())
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
