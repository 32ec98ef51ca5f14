// Command bench measures what the design promises, in one run beside the
// peers, and prints a table: what, to reach, measured. `make bench` runs it,
// with an engine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// row is one line of the table. Values are in the row's own unit.
type row struct {
	what    string
	reach   string
	measure func(ctx context.Context, b *bench) (string, error)
}

// bench is what all measurements share.
type bench struct {
	binary string
	pairs  int
	dir    string
}

func main() {
	binary := flag.String("binary", "bin/claude-bottle", "the `program` to measure")
	pairs := flag.Int("pairs", 10, "how many alternating pairs of ours and the peer's")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *binary, *pairs); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, pairs int) error {
	dir, err := os.MkdirTemp("", "claude-bottle-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	b := &bench{binary: binary, pairs: pairs, dir: dir}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tTO REACH\tMEASURED")
	for _, r := range []row{
		{"binary", "<= 20 MB", size},
		{"claude-bottle version", "<= 10 ms", processStart},
		{"gateway at rest, resident", "<= 15 MiB", gatewayRest},
		{"docker: start, `true`, removed, beside docker run --rm", "-", launch},
	} {
		measured, err := r.measure(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", r.what, err)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.what, r.reach, measured)
	}
	return table.Flush()
}

// spread is the median of times with the lowest and the highest.
func spread(times []time.Duration) string {
	slices.Sort(times)
	return fmt.Sprintf("%s (%s to %s, %d runs)", show(median(times)), show(times[0]), show(times[len(times)-1]), len(times))
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

func show(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
