//go:build linux

package native

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/harness"
)

// TestPrune removes what an earlier version left, and nothing that is used: no
// agent while a bottle runs, which may have it mounted.
func TestPrune(t *testing.T) {
	b, store := launched(t, nil)
	p := b.(*instance).platform
	inner := p.config.Getenv
	p.config.Getenv = func(name string) string {
		if name == claudeVersion {
			return "2.0.0"
		}
		return inner(name)
	}
	place := func(version string) string {
		dir := p.agents().Place(*harness.ClaudePackage(version))
		check(t, os.MkdirAll(dir, 0o755))
		return dir
	}
	object, err := p.objects().find(b.Run())
	check(t, err)
	if _, err := os.Stat(filepath.Join(store.Root(), "bin", object.Program)); err != nil || object.Program == "" {
		t.Errorf("which program the bottle runs is not written down: %q, %v", object.Program, err)
	}
	program := filepath.Join(store.Root(), "bin", strings.Repeat("0", 64))
	check(t, os.MkdirAll(program, 0o755))
	kept := []string{place(""), place("2.0.0")}
	old, draft := place("1.0.0"), filepath.Join(filepath.Dir(place("")), ".installing-123")
	check(t, os.Mkdir(draft, 0o755))

	prunes := func(when string, dry bool, want ...string) {
		t.Helper()
		removed, err := p.Prune(t.Context(), dry)
		slices.Sort(removed)
		slices.Sort(want)
		if err != nil || !slices.Equal(removed, want) {
			t.Errorf("%s: removed %q, %v, want %q", when, removed, err, want)
		}
		for _, path := range want {
			if _, err := os.Stat(path); (err == nil) != dry {
				t.Errorf("%s: %s: %v", when, path, err)
			}
		}
	}
	prunes("a bottle runs, nothing is to go", true, program)
	prunes("a bottle runs", false, program)
	if got := sh(t, b, "echo alive"); got != "alive\n" {
		t.Errorf("it says %q", got)
	}
	check(t, b.Close())
	prunes("none runs, nothing is to go", true, old, draft)
	prunes("none runs", false, old, draft)
	prunes("again", false)
	for _, path := range kept {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
