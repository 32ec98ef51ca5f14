// Command bench measures what the design promises, in one run beside the
// peers, and prints a table: what, to reach, measured. `make bench` runs it,
// with an engine. Contenders take turns, so that what else the machine does
// hits all of them; what counts are the ratios.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// options are the flags.
type options struct {
	binary string
	pairs  int
	only   string
	format string
	fleet  string
	files  int
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/claude-bottle", "the `program` to measure")
	flag.IntVar(&o.pairs, "pairs", 10, "how many alternating rounds of ours and the peers'")
	flag.StringVar(&o.only, "only", "", "measure these `groups` alone, separated by commas: "+strings.Join(groupNames(), ", "))
	flag.StringVar(&o.format, "format", "text", "text or json")
	flag.StringVar(&o.fleet, "fleet", "1,8,32,64", "how many bottles at once, separated by `commas`")
	flag.IntVar(&o.files, "files", 50_000, "how many files the tree to copy has")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// group is what is measured together; need says what of the machine.
type group struct {
	name    string
	engine  bool
	measure func(ctx context.Context, b *bench) error
}

var groups = []group{
	{"process", false, measureProcess},
	{"launch", true, func(ctx context.Context, b *bench) error { return measureLaunch(ctx, b, "runc") }},
	{"gvisor", true, func(ctx context.Context, b *bench) error { return measureLaunch(ctx, b, "runsc") }},
	{"exec", true, measureExec},
	{"copy", false, measureCopy},
	{"fleet", true, measureFleet},
	{"trace", true, measureTrace},
}

func groupNames() []string {
	var names []string
	for _, g := range groups {
		names = append(names, g.name)
	}
	return names
}

func run(ctx context.Context, o options) (err error) {
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	var failed error
	for _, g := range chosen {
		fmt.Fprintf(os.Stderr, "bench: %s\n", g.name)
		if g.engine {
			if err := b.needEngine(ctx); err != nil {
				return err
			}
		}
		if err := g.measure(ctx, b); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", g.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	// What was measured is shown, whatever failed.
	return errors.Join(b.report.write(os.Stdout, o.format), failed)
}

func choose(only string) ([]group, error) {
	if only == "" {
		return groups, nil
	}
	var chosen []group
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(groups, func(g group) bool { return g.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no group %q: there are %s", name, strings.Join(groupNames(), ", "))
		}
		chosen = append(chosen, groups[i])
	}
	return chosen, nil
}
