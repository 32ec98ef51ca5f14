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
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	binary string
	pairs  int
	only   string
	kinds  *regexp.Regexp // nil means all
	format string
	fleet  string
	files  string
	limit  time.Duration
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		measured := func() error { return confined(role) }
		if role == roleTraffic {
			measured = func() error { return makeTraffic(os.Stdin, os.Stdout) }
		}
		if err := measured(); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.binary, "binary", "bin/claude-bottle", "the `program` to measure")
	flag.IntVar(&o.pairs, "pairs", 10, "how many alternating rounds of ours and the peers'")
	flag.StringVar(&o.only, "only", "", "measure these `groups` alone, separated by commas: "+strings.Join(groupNames(), ", "))
	flag.Func("kinds", "of the gateway measure only the rates whose row matches this `expression`, such as 'tunnels, 256'", func(text string) (err error) {
		o.kinds, err = regexp.Compile(text)
		return err
	})
	flag.StringVar(&o.format, "format", "text", "text or json")
	flag.StringVar(&o.fleet, "fleet", "1,8,32,64,100", "how many bottles at once, separated by `commas`")
	flag.StringVar(&o.files, "files", "10000,100000", "how many files the trees to copy have, separated by `commas`")
	flag.DurationVar(&o.limit, "limit", 5*time.Minute, "begin no other round of a measurement after this time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// group is what is measured together. Those with a runtime need an engine that
// has it.
type group struct {
	name    string
	runtime string
	measure func(ctx context.Context, b *bench, runtime string) error
}

// groups are in the order in which they are measured.
func groups() []group {
	all := []group{{"process", "", measureProcess}, {"confine", "", measureConfine}, {"gateway", "", measureGateway}, {"gateway-hostile", "", measureHoards}}
	for _, runtime := range []string{"runc", "runsc"} {
		suffix := map[string]string{"runsc": "-gvisor"}[runtime]
		all = append(all,
			group{"launch" + suffix, runtime, measureLaunch},
			group{"beside" + suffix, runtime, measureBeside},
			group{"checks" + suffix, runtime, measureChecks},
			group{"exec" + suffix, runtime, measureExec},
			group{"memory" + suffix, runtime, measureMemory},
			group{"trace" + suffix, runtime, measureTrace})
	}
	all = append(all,
		group{"native", "", measureNative},
		group{"native-memory", "", measureNativeMemory},
		group{"native-trace", "", measureNativeTrace},
		group{"native-gateway", "", measureWithin},
		group{"native-fleet", "", measureNativeFleet})
	return append(all,
		group{"copy", "runc", func(ctx context.Context, b *bench, _ string) error { return measureCopy(ctx, b) }},
		group{"fleet", "runc", measureFleet},
		group{"fleet-gvisor", "runsc", measureFleet})
}

func groupNames() []string {
	var names []string
	for _, g := range groups() {
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
		if g.runtime != "" {
			if err := b.needEngine(ctx); err != nil {
				return errors.Join(failed, err)
			}
		}
		if g.runtime == "runsc" && !b.hasGvisor(ctx) {
			fmt.Fprintln(os.Stderr, "bench: this engine has no runtime runsc, its rows are left out")
			continue
		}
		if err := g.measure(ctx, b, g.runtime); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", g.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	b.report.Load[1] = load()
	// What was measured is shown, whatever failed.
	return errors.Join(b.report.write(os.Stdout, o.format), failed)
}

func choose(only string) ([]group, error) {
	if only == "" {
		return groups(), nil
	}
	var chosen []group
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(groups(), func(g group) bool { return g.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("no group %q: there are %s", name, strings.Join(groupNames(), ", "))
		}
		chosen = append(chosen, groups()[i])
	}
	return chosen, nil
}
