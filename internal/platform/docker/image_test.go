package docker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
)

// TestBuildFails: the end of the build's output is in the error.
func TestBuildFails(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	delete(b.env, "CLAUDE_BOTTLE_IMAGE")
	b.env["CLAUDE_BOTTLE_BASE_IMAGE"] = tinyImage // it has no apt-get
	p := b.platform(t)
	plan, err := p.Prepare(t.Context(), b.spec())
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Docker.Build {
		t.Fatal("the plan does not say that the image is built")
	}
	_, err = p.Launch(t.Context(), plan, environ.Secrets{})
	if err == nil || !strings.Contains(err.Error(), "build image claude-bottle:latest") ||
		!strings.Contains(err.Error(), "apt-get: not found") || hint.Of(err) == "" {
		t.Errorf("error %v, hint %q", err, hint.Of(err))
	}
	b.noRuns(t)
}

// TestDerivedImage: the project is in the image, and the run's own copy is
// mounted over it.
func TestDerivedImage(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	const derived = "claude-bottle-test-derived:1"
	t.Cleanup(func() {
		_, _ = b.api.ImageRemove(context.Background(), derived, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	})
	project := t.TempDir()
	for name, text := range map[string]string{"file": "inside", "sub/other": "too"} {
		path := filepath.Join(project, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("file", filepath.Join(project, "link")); err != nil {
		t.Fatal(err)
	}
	b.env["CLAUDE_BOTTLE_DERIVED_IMAGE"] = derived
	spec := b.spec()
	spec.Isolation, spec.Cwd = bottle.Runc, project
	i := b.launch(t, spec)
	if got := sh(t, i, "cat link sub/other; touch new"); got != "insidetoo" {
		t.Errorf("the workspace: %q", got)
	}
	if got := b.inspect(t, i.made.Agent).Config.Image; !strings.HasPrefix(got, "sha256:") {
		t.Errorf("launched from %s", got)
	}
	if _, err := os.Stat(filepath.Join(b.store.Dir(i.Run()), bottle.WorkDir, "new")); err != nil {
		t.Errorf("the work is not in the run's directory: %v", err)
	}
	inspected, err := b.api.ImageInspect(t.Context(), derived)
	if err != nil {
		t.Fatal(err)
	}
	if inspected.Config.Labels[labelRecipe] != "" {
		t.Errorf("the derived image passes for the recipe's: %v", inspected.Config.Labels)
	}
}

// TestPrune removes what an earlier version left, and nothing that is used.
func TestPrune(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	old := filepath.Join(b.store.Root(), "bin", strings.Repeat("0", 64))
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := b.spec()
	spec.Isolation = bottle.Runc
	i := b.launch(t, spec)
	removed, err := i.platform.Prune(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(removed, " "), old) {
		t.Errorf("removed %v, and not %s", removed, old)
	}
	if got := sh(t, i, "echo alive"); got != "alive" {
		t.Error(got)
	}
	if _, err := b.api.ImageInspect(t.Context(), b.inspect(t, i.made.Gateway).Image); err != nil {
		t.Errorf("the gateway's image: %v", err)
	}
}

// TestVolumes: a limit of the disk would not hold in a volume of the image.
func TestVolumes(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	const image = "claude-bottle-test-volumes:1"
	made, err := b.api.ContainerCreate(t.Context(), client.ContainerCreateOptions{Image: tinyImage, Config: &container.Config{Cmd: []string{"true"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = b.api.ContainerRemove(context.Background(), made.ID, client.ContainerRemoveOptions{Force: true})
		_, _ = b.api.ImageRemove(context.Background(), image, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	})
	if _, err := b.api.ContainerCommit(t.Context(), made.ID, client.ContainerCommitOptions{Reference: image, Changes: []string{"VOLUME /data"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.api.ContainerRemove(t.Context(), made.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	b.env["CLAUDE_BOTTLE_IMAGE"] = image
	spec := b.spec()
	spec.Isolation = bottle.Runc
	b.launch(t, spec).Close()
	spec.Limits.Disk = 1 << 30
	p := b.platform(t)
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Launch(t.Context(), plan, environ.Secrets{})
	if err == nil || !strings.Contains(err.Error(), "declares volumes, which are not measured: /data") || hint.Of(err) == "" {
		t.Errorf("error %v, hint %q", err, hint.Of(err))
	}
}
