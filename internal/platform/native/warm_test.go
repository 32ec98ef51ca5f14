//go:build linux

package native

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/supervise"
)

// supervisors are the ids of runs that have one below this process.
func supervisors(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pid := range descendants(t, os.Getpid()) {
		line, err := os.ReadFile("/proc/" + itoa(pid) + "/cmdline")
		argv := strings.Split(string(line), "\x00")
		if err != nil || len(argv) < 4 || argv[1] != supervise.Command {
			continue
		}
		run := argv[2]
		if supervise.IsGateway(argv[1:]) {
			run = argv[3]
		}
		found = append(found, run)
	}
	return found
}

// TestWarm begins a launch before it is planned: a launch for the same user
// takes what there is, all others leave nothing of it.
func TestWarm(t *testing.T) {
	first, store := launched(t, nil) // it makes the state directory
	spec := bottle.Spec{
		Agent: "Test", Slug: "test", Bottle: "test", Harness: "command", Argv: []string{"sh"},
		Isolation: bottle.Auto, Home: bottle.DefaultHome, Workspace: bottle.Workspace,
	}
	spec.UID, spec.GID = bottle.Person(os.Getuid(), os.Getgid(), os.LookupEnv)
	p := newPlatform(t, store, func(string) (string, bool) { return "", false })

	release := p.Warm(spec.UID, spec.GID)
	warmed := string(p.warmed.Load().who.run)
	release()
	if found := supervisors(t); slices.Contains(found, warmed) || p.warmed.Load() != nil {
		t.Errorf("after its release there are still %v", found)
	}

	release = p.Warm(spec.UID, spec.GID)
	b := launchOf(t, p, spec, p.warmed.Load().who.run)
	release()
	if out := sh(t, b, "echo inside"); out != "inside\n" {
		t.Errorf("the bottle printed %q", out)
	}
	if found, want := supervisors(t), []string{string(first.Run()), string(b.Run())}; len(found) != len(want) {
		t.Errorf("supervisors are %v, want those of %v", found, want)
	}

	other := p.Warm(spec.UID+1, spec.GID)
	another := string(p.warmed.Load().who.run)
	_ = launchOf(t, p, spec, p.warmed.Load().who.run)
	other()
	if out := supervisors(t); len(out) != 3 {
		t.Errorf("one that was begun as %s for somebody else is among %v", another, out)
	}
}

func launchOf(t *testing.T, p *Platform, spec bottle.Spec, want runs.ID) bottle.Bottle {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	plan, err := p.Prepare(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Run != want {
		t.Errorf("the plan is for run %s, not for %s, which was begun", plan.Run, want)
	}
	b, err := p.Launch(ctx, plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
