//go:build failpoints

package docker

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
)

// TestEveryCallFails lets each engine call of a launch fail in turn: the
// launch says so, and nothing is left.
func TestEveryCallFails(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	list := filepath.Join(t.TempDir(), "points")
	t.Setenv("CLAUDE_BOTTLE_FAILPOINT_LIST", list)
	i := b.launch(t, spec)
	if err := os.Unsetenv("CLAUDE_BOTTLE_FAILPOINT_LIST"); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	points := strings.Fields(string(text))
	slices.Sort(points)
	points = slices.Compact(points)
	if len(points) < 12 {
		t.Fatalf("a launch passes only %v", points)
	}
	for _, point := range points {
		// The platform is connected by now, and the gateway's image is there.
		if !strings.HasPrefix(point, "docker.") || point == "docker.ping" || point == "docker.image-import" {
			continue
		}
		t.Run(point, func(t *testing.T) {
			p := b.platform(t)
			if _, err := p.engine(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Setenv("CLAUDE_BOTTLE_FAILPOINT", point+":error")
			plan, err := p.Prepare(t.Context(), spec)
			if err == nil {
				var launched bottle.Bottle
				if launched, err = p.Launch(t.Context(), plan, environ.Secrets{}); err == nil {
					_ = launched.Close()
				}
			}
			if err == nil || !strings.Contains(err.Error(), "failpoint "+point) {
				t.Errorf("error %v", err)
			}
			if err := os.Unsetenv("CLAUDE_BOTTLE_FAILPOINT"); err != nil {
				t.Fatal(err)
			}
			// What a failed undo could not remove is swept by the next command.
			if _, err := bottle.Sweep(t.Context(), b.store, p); err != nil {
				t.Error(err)
			}
			if left := b.objects(t); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			infos, err := b.store.List()
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range infos {
				if info.State != "stopped" {
					t.Errorf("run %s is %s", info.ID, info.State)
				}
			}
		})
	}
}
