package docker

import (
	"path/filepath"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/doctor"
	"claude-bottle/internal/runs"
)

// A real engine is seen whole, and is not changed by being looked at.
func TestExamine(t *testing.T) {
	b := newBench(t)
	seen := b.platform(t).Examine(t.Context(), doctor.Needs{Home: bottle.DefaultHome})
	if seen.Problem != "" {
		t.Fatalf("%s (%s)", seen.Problem, seen.Hint)
	}
	if seen.Endpoint != b.host || seen.From != "DOCKER_HOST" || seen.Version == "" || seen.API == "" || seen.Kernel == "" {
		t.Errorf("saw %+v", seen)
	}
	components := map[string]string{}
	for _, c := range seen.Components {
		components[c.Name] = c.Version
	}
	for _, name := range []string{doctor.ComponentEngine, doctor.ComponentContainerd, doctor.ComponentRunc} {
		if components[name] == "" {
			t.Errorf("no version of %s in %v", name, components)
		}
	}
	if _, ok := seen.Runtimes["runc"]; !ok || seen.DefaultRuntime == "" {
		t.Errorf("runtimes %v, default %q", seen.Runtimes, seen.DefaultRuntime)
	}
	if len(seen.Images) != 1 || !seen.Images[0].Present || seen.Images[0].Override != "CLAUDE_BOTTLE_IMAGE" {
		t.Errorf("images %+v", seen.Images)
	}
	if off := seen.Skew.Abs() - seen.SkewWithin; off > 1e9 {
		t.Errorf("its clock, which is ours, differs by %s", seen.Skew)
	}
	for _, check := range doctor.JudgeEngine(seen) {
		t.Logf("%s %s: %s", check.State, check.Name, check.Detail)
	}
}

func TestExamineImages(t *testing.T) {
	b := newBench(t)
	delete(b.env, "CLAUDE_BOTTLE_IMAGE")
	b.env["CLAUDE_BOTTLE_CLAUDE_VERSION"] = "0.0.0-never-built"
	seen := b.platform(t).Examine(t.Context(), doctor.Needs{Home: bottle.DefaultHome, Roots: map[string][]string{"": {"a"}, "x": {"b"}}})
	if len(seen.Images) != 2 {
		t.Fatalf("images %+v, problem %s", seen.Images, seen.Problem)
	}
	for i, agent := range []string{"a", "b"} {
		if image := seen.Images[i]; image.Present || image.For[0] != agent || image.Override != "" {
			t.Errorf("image %+v", image)
		}
	}
}

func TestExamineNoEngine(t *testing.T) {
	store, err := runs.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	p := New(Config{Store: store, Home: t.TempDir(), Getenv: func(name string) string {
		return map[string]string{"DOCKER_HOST": "unix://" + filepath.Join(t.TempDir(), "none.sock")}[name]
	}})
	seen := p.Examine(t.Context(), doctor.Needs{})
	if seen.Problem == "" || seen.Hint == "" {
		t.Errorf("saw %+v", seen)
	}
}
