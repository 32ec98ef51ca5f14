package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/probe"
)

// measureChecks is what the isolation probe costs: the whole of it, and of
// each kind of check how long the slowest took. All are made at once, so that
// these do not add up.
func measureChecks(ctx context.Context, b *bench, runtime string) error {
	var whole []time.Duration
	count, slowest := map[string]int{}, map[string][]time.Duration{}
	rounds := b.rounds()
	for rounds.next() {
		verdict, err := b.verdict(ctx, runtime)
		if err != nil {
			return err
		}
		if rounds.warming() {
			continue
		}
		whole = append(whole, verdict.Took)
		clear(count)
		longest := map[string]time.Duration{}
		for _, finding := range verdict.Findings {
			count[finding.Kind]++
			longest[finding.Kind] = max(longest[finding.Kind], finding.Took)
		}
		for kind, took := range longest {
			slowest[kind] = append(slowest[kind], took)
		}
	}
	name := "docker, " + runtime + ": isolation probe, "
	checks := 0
	for _, n := range count {
		checks += n
	}
	b.report.add(name+"whole", "ms", 0, milliseconds(whole),
		fmt.Sprintf("%d checks; %d ms of it listen to silence", checks, probe.Deadline.Milliseconds()))
	byTime := func(x, y string) int {
		return cmp.Compare(median(milliseconds(slowest[y])), median(milliseconds(slowest[x])))
	}
	for _, kind := range slices.SortedFunc(maps.Keys(count), byTime) {
		b.report.add(name+kind, "ms", 0, milliseconds(slowest[kind]), fmt.Sprintf("the slowest of %d", count[kind]))
	}
	return nil
}

// verdict is what the probe of one launch found.
func (b *bench) verdict(ctx context.Context, runtime string) (verdict probe.Verdict, err error) {
	if _, err := output(b.ours(ctx, "start", "once-"+runtime, "--yes")); err != nil {
		return verdict, err
	}
	found, err := filepath.Glob(filepath.Join(b.dir, "state", "claude-bottle", "runs", "*", bottle.IsolationFile))
	if err != nil || len(found) == 0 {
		return verdict, errors.Join(err, errors.New("no run noted what its probe found"))
	}
	data, err := os.ReadFile(slices.Max(found)) // ids sort by start
	if err != nil {
		return verdict, err
	}
	return verdict, json.Unmarshal(data, &verdict)
}
