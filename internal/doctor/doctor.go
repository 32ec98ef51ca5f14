// Package doctor says whether a machine is fit for bottles: what was seen of
// it, as plain values, and what that means, as checks. Looking and judging are
// apart: a Judge function does no I/O. Nothing here makes or changes
// anything.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// State is how a check came out.
type State string

// OK works. Warn works too, and somebody should know of it. Fail keeps a
// bottle from being launched as asked.
const (
	OK   State = "ok"
	Warn State = "warn"
	Fail State = "fail"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail"`
	// Notes are more of the detail, one line each.
	Notes []string `json:"notes,omitempty"`
	// Mend is one command, as it can be pasted into a shell, that mends it, or
	// empty; what more there is to say is in Notes.
	Mend string `json:"mend,omitempty"`
}

// Probe looks at one thing and judges it.
type Probe struct {
	Name string
	Look func(ctx context.Context) []Check
}

// Run looks at everything at once and returns the checks in the order of the
// probes. None takes longer than limit: one that still looks then, at a file
// system that hangs for instance, is left behind and has failed.
func Run(ctx context.Context, limit time.Duration, probes []Probe) []Check {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found := make([]chan []Check, len(probes))
	for i, probe := range probes {
		found[i] = make(chan []Check, 1)
		go func() { found[i] <- probe.Look(ctx) }() // ends with its look; there is room for its result
	}
	var checks []Check
	for i, probe := range probes {
		checks = append(checks, await(ctx, probe.Name, limit, found[i])...)
	}
	return checks
}

func await(ctx context.Context, name string, limit time.Duration, found <-chan []Check) []Check {
	select {
	case checks := <-found:
		return checks
	case <-ctx.Done():
	}
	// A probe that minds its context answers just now.
	grace := time.NewTimer(limit/10 + 50*time.Millisecond)
	defer grace.Stop()
	select {
	case checks := <-found:
		return checks
	case <-grace.C:
		return []Check{{Name: name, State: Fail, Detail: fmt.Sprintf("no answer within %s", limit)}}
	}
}

// Worst is the worst state of checks.
func Worst(checks []Check) State {
	worst := OK
	for _, check := range checks {
		if rank(check.State) > rank(worst) {
			worst = check.State
		}
	}
	return worst
}

func rank(s State) int { return slices.Index([]State{OK, Warn, Fail}, s) }
