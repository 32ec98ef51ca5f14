package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// phase is a part of a launch: medians of several, from the command's start.
type phase struct {
	Name  string  `json:"name"`
	Begin float64 `json:"begin"` // ms
	Took  float64 `json:"took"`  // ms; 0 for a moment
}

// trace is where launches with one runtime spend their time.
type trace struct {
	Runtime string  `json:"runtime"`
	Phases  []phase `json:"phases"`
}

// measureTrace launches a build of the program that says when each of its
// phases begins and ends, and shows where the time goes.
func measureTrace(ctx context.Context, b *bench, runtime string) error {
	var engine, own []float64
	err := b.traceOf(ctx, runtime, func() *exec.Cmd { return b.ours(ctx, "start", "once-"+runtime, "--yes") },
		func(phases []phase, whole float64) {
			calls := underWay(phases, isCall)
			engine, own = append(engine, calls/whole), append(own, whole-calls)
		})
	if err != nil {
		return err
	}
	name := "docker, " + runtime + ": "
	b.report.add(name+"part of a run in which the engine is at work", "", 0, engine, "a call of it is under way")
	b.report.add(name+"the rest of a run", "ms", 0, own, "process start, files, guest and gateway alone, the probe")
	return nil
}

// measureNativeTrace is that of native bottles.
func measureNativeTrace(ctx context.Context, b *bench, _ string) error {
	return b.eachPerson(func(p *person) error {
		return b.traceOf(ctx, "native, "+p.name, func() *exec.Cmd { return p.ours(ctx, "start", "echo", "--yes") }, func([]phase, float64) {})
	})
}

// traceOf adds a trace of several launches. each gets the phases of one, and how
// long it took in all, in ms.
func (b *bench) traceOf(ctx context.Context, what string, launch func() *exec.Cmd, each func(phases []phase, whole float64)) error {
	traced := filepath.Join(b.dir, "traced")
	if _, err := output(b.tool(ctx, "go", "run", "./cmd/build", "-tags", "failpoints", "-o", traced)); err != nil {
		return err
	}
	all, launches := map[string]*samples{}, 0
	rounds := b.rounds()
	for rounds.next() {
		cmd := launch()
		file := filepath.Join(cmd.Dir, fmt.Sprintf("trace-%d", rounds.done))
		cmd.Path, cmd.Args[0] = traced, traced
		cmd.Env = append(cmd.Env, "CLAUDE_BOTTLE_FAILPOINT_TRACE="+file)
		begin := time.Now()
		times, err := startOnce(cmd)
		if err != nil {
			return err
		}
		phases, err := readTrace(file, begin)
		if err = errors.Join(err, os.Remove(file)); err != nil {
			return err
		}
		if rounds.warming() {
			continue // it makes the gateway's image, or installs the program
		}
		whole := milliseconds([]time.Duration{times.whole})[0]
		each(phases, whole)
		launches++
		phases = append(phases,
			phase{Name: "first output of the harness", Begin: milliseconds([]time.Duration{times.ready})[0]},
			phase{Name: "end of the command", Begin: whole})
		gather(all, phases)
	}
	b.report.Traces = append(b.report.Traces, trace{what, summarise(all, launches)})
	return nil
}

// isCall says whether a phase is a call of the engine.
func isCall(name string) bool {
	call, ok := strings.CutPrefix(name, "docker.")
	return ok && !strings.HasSuffix(call, "-boot") && call != "install-program"
}

// underWay is how long, in ms, at least one of the chosen phases was.
func underWay(phases []phase, chosen func(name string) bool) float64 {
	sorted := slices.SortedFunc(slices.Values(phases), func(a, b phase) int { return cmp.Compare(a.Begin, b.Begin) })
	var sum, until float64
	for _, p := range sorted {
		if end := p.Begin + p.Took; chosen(p.Name) && end > until {
			sum += end - max(until, p.Begin)
			until = end
		}
	}
	return sum
}

// readTrace reads lines "NANOSECONDS begin|end|point NAME", the time being
// that of the epoch. The nth end of a name belongs to its nth begin.
func readTrace(path string, start time.Time) ([]phase, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var phases []phase
	open := map[string][]int{} // places of those that began
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var at int64
		var what, name string
		if _, err := fmt.Sscanf(lines.Text(), "%d %s %s", &at, &what, &name); err != nil {
			return nil, fmt.Errorf("trace: %q: %w", lines.Text(), err)
		}
		moment := float64(at-start.UnixNano()) / 1e6
		switch what {
		case "begin":
			open[name] = append(open[name], len(phases))
			phases = append(phases, phase{Name: name, Begin: moment})
		case "end":
			if len(open[name]) == 0 {
				return nil, fmt.Errorf("trace: %s ends and never began", name)
			}
			begun := &phases[open[name][0]]
			open[name] = open[name][1:]
			begun.Took = moment - begun.Begin
		}
	}
	if len(phases) == 0 {
		return nil, errors.New("trace: nothing was traced")
	}
	return phases, lines.Err()
}

// samples are what several launches had for one phase.
type samples struct{ begin, took []float64 }

// gather files phases by name; the second of a name in one launch is another.
func gather(all map[string]*samples, phases []phase) {
	slices.SortStableFunc(phases, func(a, b phase) int { return cmp.Compare(a.Begin, b.Begin) })
	seen := map[string]int{}
	for _, p := range phases {
		seen[p.Name]++
		name := p.Name
		if seen[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
		if all[name] == nil {
			all[name] = &samples{}
		}
		all[name].begin = append(all[name].begin, p.Begin)
		all[name].took = append(all[name].took, p.Took)
	}
}

// summarise drops what less than half of the launches had.
func summarise(all map[string]*samples, launches int) []phase {
	var phases []phase
	for name, s := range all {
		if 2*len(s.begin) > launches {
			phases = append(phases, phase{name, median(s.begin), median(s.took)})
		}
	}
	slices.SortFunc(phases, func(a, b phase) int { return cmp.Compare(a.Begin, b.Begin) })
	return phases
}

// chart is how wide the picture of a launch is, in characters.
const chart = 60

// write draws when each phase was under way.
func (t trace) write(w io.Writer) error {
	var last float64
	for _, p := range t.Phases {
		last = max(last, p.Begin+p.Took)
	}
	fmt.Fprintf(w, "\nWhere a launch spends its time (%s, medians, ms):\n", t.Runtime)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BEGIN\tTOOK\tPHASE\t")
	for _, p := range t.Phases {
		from := int(p.Begin / last * chart)
		long := max(1, int(p.Took/last*chart))
		fmt.Fprintf(table, "%.1f\t%.1f\t%s\t%s\n", p.Begin, p.Took, p.Name,
			strings.Repeat(" ", from)+strings.Repeat("#", long))
	}
	return table.Flush()
}
