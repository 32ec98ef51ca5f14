//go:build linux

// Command escape attacks the bottle that it runs in, and says what came of each
// attack. It is static, needs nothing, and may be run in any bottle:
//
//	CGO_ENABLED=0 go build -o escape ./test/escape/cmd/escape
//	claude-bottle start AGENT --cwd -- …          then inside: ./escape
//
// By itself it knows nothing of what is outside: those attacks are "absent".
// With --targets it reads from standard input what there is (JSON, the package
// attacks). The exit code is 1 when something got through.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"claude-bottle/test/escape/attacks"
)

// An attack may ask to be traced, of the thread that makes it. Of any other than
// the first one nobody who waits for the process would ever see the end: the
// kernel keeps the process until its tracer has waited for that thread too.
func init() { runtime.LockOSThread() }

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "escape:", err)
		os.Exit(1)
	}
}

var errThrough = errors.New("something got through")

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if strings.HasSuffix(os.Args[0], "setuid") {
		return wait(ctx, nil, in, out)
	}
	if len(args) > 0 {
		if act, is := acts()[args[0]]; is {
			return act(ctx, args[1:], in, out)
		}
	}
	flags := flag.NewFlagSet("escape", flag.ContinueOnError)
	known := flags.Bool("targets", false, "read what there is outside from standard input")
	full := flags.Bool("full", false, "also what takes long")
	within := flags.Bool("within", false, "as root of namespaces of its own, where the bottle lets it make them")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var targets attacks.Targets
	if *known {
		if err := json.NewDecoder(in).Decode(&targets); err != nil {
			return fmt.Errorf("read targets: %w", err)
		}
	}
	list := chosen(flags.Args(), *full)
	if len(list) == 0 {
		return fmt.Errorf("no attack and no family: %q", flags.Args())
	}
	results, err := attacks.Run(ctx, list, targets, *within)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(results)
	}
	return report(out, results)
}

// chosen are the attacks whose id or family is named, or all.
func chosen(names []string, full bool) []attacks.Attack {
	var list []attacks.Attack
	for _, a := range append(attacks.Controls(), attacks.Table()...) {
		named := slices.Contains(names, a.ID) || slices.Contains(names, a.Family())
		if named || len(names) == 0 && (full || !a.Full) {
			list = append(list, a)
		}
	}
	return list
}

func report(out io.Writer, results []attacks.Result) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	open := 0
	for _, r := range results {
		outcome := string(r.Outcome)
		if outcome == "" {
			outcome = "not tried"
		}
		if r.Outcome == attacks.Through && !strings.HasPrefix(r.ID, "control/") {
			outcome = strings.ToUpper(outcome)
			open++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.ID, outcome, r.Happened)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if open > 0 {
		return errThrough
	}
	return nil
}
