package bottletest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
)

func nameRows() []row {
	return []row{
		{"the second gets a suffix", secondGetsSuffix},
		{"launches at the same instant", sameInstant},
		{"a pinned name", pinnedName},
		{"a pinned name at the same instant", pinnedSameInstant},
	}
}

func secondGetsSuffix(t *testing.T, s *suite) {
	spec := s.spec()
	first := s.launch(t, spec)
	if want := "claude-bottle-" + spec.Slug; first.Name() != want {
		t.Errorf("the first is called %s, want %s", first.Name(), want)
	}
	second := s.launch(t, spec)
	if want := first.Name() + "-2"; second.Name() != want {
		t.Errorf("the second is called %s, want %s", second.Name(), want)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	prints(t, second, "alive\n", "echo alive")
	if third := s.launch(t, spec); third.Name() != first.Name() {
		t.Errorf("the name %s is free, and the third is called %s", first.Name(), third.Name())
	}
}

// launchTogether prepares all launches, then starts them at once: each has
// proposed the same name.
func (s *suite) launchTogether(t *testing.T, platforms []bottle.Platform, spec bottle.Spec) ([]bottle.Bottle, []error) {
	t.Helper()
	plans := make([]bottle.Plan, len(platforms))
	for i, platform := range platforms {
		plans[i] = s.prepare(t, platform, spec)
	}
	bottles, errs := make([]bottle.Bottle, len(platforms)), make([]error, len(platforms))
	ctx := bounded(t)
	var all sync.WaitGroup
	for i, platform := range platforms {
		all.Go(func() { bottles[i], errs[i] = platform.Launch(ctx, plans[i], environ.Secrets{}) })
	}
	all.Wait()
	t.Cleanup(func() {
		for _, b := range bottles {
			if b != nil {
				if err := b.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}
		}
	})
	return bottles, errs
}

func sameInstant(t *testing.T, s *suite) {
	spec := s.spec()
	var platforms []bottle.Platform
	for range 3 {
		platforms = append(platforms, s.platform(t))
	}
	bottles, errs := s.launchTogether(t, platforms, spec)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range bottles {
		names = append(names, b.Name())
		info, _, err := s.store.Load(b.Run())
		if err != nil || info.Name != b.Name() {
			t.Errorf("the ledger calls %s %s, %v", b.Name(), info.Name, err)
		}
		prints(t, b, "alive\n", "echo alive")
	}
	slices.Sort(names)
	first := "claude-bottle-" + spec.Slug
	if want := []string{first, first + "-2", first + "-3"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
}

// pinned is a launcher's environment that pins a name of this test's own.
func pinned(name string) func(string) (string, bool) {
	return func(asked string) (string, bool) { return name, asked == "CLAUDE_BOTTLE_CONTAINER" }
}

func pinnedName(t *testing.T, s *suite) {
	spec := s.spec()
	name := "pinned-" + spec.Slug
	platform := s.config.New(t, s.store, pinned(name))
	plan := s.prepare(t, platform, spec)
	b, err := platform.Launch(bounded(t), plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	if b.Name() != name {
		t.Errorf("the bottle is called %s, not %s as it was pinned", b.Name(), name)
	}
	_, err = platform.Prepare(bounded(t), spec)
	if err == nil || !strings.Contains(err.Error(), name) || hint.Of(err) == "" {
		t.Errorf("a pinned name that exists: %v, hint %q", err, hint.Of(err))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	s.prepare(t, platform, spec)
}

func pinnedSameInstant(t *testing.T, s *suite) {
	spec := s.spec()
	name := "pinned-" + spec.Slug
	platforms := []bottle.Platform{s.config.New(t, s.store, pinned(name)), s.config.New(t, s.store, pinned(name))}
	bottles, errs := s.launchTogether(t, platforms, spec)
	winner := slices.Index(errs, nil)
	if winner < 0 || errs[1-winner] == nil {
		t.Fatalf("one of two must win: %v", errs)
	}
	if !strings.Contains(errs[1-winner].Error(), name) {
		t.Errorf("the loser is told: %v", errs[1-winner])
	}
	s.expectRuns(t, bottles[winner].Run())
	prints(t, bottles[winner], "alive\n", "echo alive")
}
