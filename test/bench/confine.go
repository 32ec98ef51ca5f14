package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/confine"
)

// roleVariable makes this program one that measures itself, with the seccomp
// filter or without it: the filter stays for good.
const (
	roleVariable = "CLAUDE_BOTTLE_BENCH_ROLE"
	roleBare     = "bare"
	roleConfined = "confined"
)

// How often a thing is done to measure it once.
const (
	manyCalls  = 1_000_000
	manyStarts = 50
)

// confinedTimes are what one process measures of itself.
type confinedTimes struct{ Apply, Calls, Reads, Starts time.Duration }

// confined is the process that measures itself.
func confined(role string) error {
	var times confinedTimes
	begin := time.Now()
	if role == roleConfined {
		if err := confine.Bottle().Apply(); err != nil {
			return err
		}
	}
	times.Apply = time.Since(begin)
	begin = time.Now()
	for range manyCalls {
		unix.Getppid() // does next to nothing itself
	}
	times.Calls = time.Since(begin)
	zero, err := os.Open("/dev/zero")
	if err != nil {
		return err
	}
	defer zero.Close()
	buffer := make([]byte, 4096)
	begin = time.Now()
	for range manyCalls / 10 {
		if _, err := unix.Read(int(zero.Fd()), buffer); err != nil {
			return err
		}
	}
	times.Reads = time.Since(begin)
	begin = time.Now()
	for range manyStarts {
		if err := exec.CommandContext(context.Background(), "true").Run(); err != nil {
			return err
		}
	}
	times.Starts = time.Since(begin)
	return json.NewEncoder(os.Stdout).Encode(times)
}

// measureConfine is what the filter of a bottle costs, beside a process
// without one.
func measureConfine(ctx context.Context, b *bench, _ string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var apply []float64
	pairs := map[string]*[2][]time.Duration{}
	order := []string{"a call (getppid)", "a read of 4 KiB (/dev/zero)", "starting and ending a program"}
	for _, what := range order {
		pairs[what] = &[2][]time.Duration{}
	}
	rounds := b.rounds()
	for rounds.next() {
		for i := range 2 {
			who := (i + rounds.done) % 2
			cmd := b.tool(ctx, self)
			cmd.Env = append(cmd.Env, roleVariable+"="+[]string{roleConfined, roleBare}[who])
			out, err := output(cmd)
			if err != nil {
				return err
			}
			var times confinedTimes
			if err := json.Unmarshal(out, &times); err != nil {
				return fmt.Errorf("read what a process says of itself: %w", err)
			}
			if rounds.warming() {
				continue
			}
			for n, took := range []time.Duration{times.Calls, times.Reads, times.Starts} {
				pair := pairs[order[n]]
				pair[who] = append(pair[who], took)
			}
			if who == 0 {
				apply = append(apply, milliseconds([]time.Duration{times.Apply})...)
			}
		}
	}
	b.report.add("seccomp filter: compiled and put on", "ms", 0, apply, "once a process that confines itself")
	each := map[string]int{order[0]: manyCalls, order[1]: manyCalls / 10, order[2]: manyStarts}
	for _, what := range order {
		pair, n := pairs[what], float64(each[what])
		us := func(times []time.Duration) string { return fmt.Sprintf("%.2f", median(milliseconds(times))*1000/n) }
		b.report.compareAs("seccomp filter: "+what+", of without", 0, pair[0], pair[1],
			us(pair[0])+" of "+us(pair[1])+" microseconds")
	}
	return nil
}
