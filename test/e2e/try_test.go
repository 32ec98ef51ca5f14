package e2e_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// tried is what `try --format json` prints.
type tried struct {
	Runtime  string
	Attempts []struct {
		Tried, Happened, StoppedBy string
		Must, OK                   bool
	}
	Open      int
	Isolation string
}

// A bottle of nothing but our program attacks itself: nothing gets out, what
// must work does, it is quick, and nothing is left, the run included, but what
// later launches use again.
func TestTry(t *testing.T) {
	for _, isolation := range []string{"runc", "runsc"} {
		t.Run(isolation, func(t *testing.T) {
			p := newPerson(t, isolation, "", shell)
			p.run("ps")
			began := time.Now()
			found := p.try("try", "--isolation", isolation)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
			if found.Runtime != isolation {
				t.Errorf("it ran on %s", found.Runtime)
			}
			found.check(t, "reach an allowed host through the gateway", "reach this computer behind an allowed name")
			p.keepsNoRun()
			p.keepsForLater()
		})
	}
}

// keepsForLater wants what is kept to be what docs/cli.md says: one image, the
// gateway's, and the program.
func (p *person) keepsForLater() {
	p.t.Helper()
	images, err := p.api.ImageList(p.t.Context(), client.ImageListOptions{Filters: client.Filters{}.Add("label", "claude-bottle.owner="+p.owner)})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, image := range images.Items {
		if len(image.RepoTags) != 1 || !strings.HasPrefix(image.RepoTags[0], "claude-bottle-gateway:") {
			p.t.Errorf("an image is kept: %q", image.RepoTags)
		}
	}
	if len(images.Items) != 1 {
		p.t.Errorf("%d images are kept", len(images.Items))
	}
	for _, pattern := range []string{"/claude-bottle/*", "/claude-bottle/.??*"} {
		found, err := filepath.Glob(p.state + pattern)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, path := range found {
			if name := filepath.Base(path); name != "bin" && name != "runs" {
				p.t.Errorf("the state directory keeps %s", name)
			}
		}
	}
}

// An agent's own bottle is attacked likewise, without its secrets; the host
// that it may reach is looked up, and not asked.
func TestTryAgent(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	p.manifest(p.home, strings.Replace(manifest("runc", "", shell), "egress:", "egress:\n      allowlist: [allowed.example]", 1))
	p.try("try", p.agent).check(t, "look up an allowed host", "write in its workspace")
	p.keepsNoRun()
}

func (p *person) try(args ...string) tried {
	p.t.Helper()
	r := p.run(append(args, "--format", "json")...)
	if r.code != 0 {
		p.t.Errorf("code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	var found tried
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil {
		p.t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	return found
}

func (found tried) check(t *testing.T, rows ...string) {
	t.Helper()
	seen := map[string]bool{}
	for _, a := range found.Attempts {
		seen[a.Tried] = true
		if !a.OK {
			t.Errorf("%s: %s", a.Tried, a.Happened)
		}
		if !a.Must && a.StoppedBy == "" {
			t.Errorf("%s: nothing is said to have stopped it", a.Tried)
		}
	}
	if found.Open != 0 || len(found.Attempts) < 20 {
		t.Errorf("%d of %d did not come out as they must", found.Open, len(found.Attempts))
	}
	for _, row := range rows {
		if !seen[row] {
			t.Errorf("nothing was tried to %s", row)
		}
	}
}

func (p *person) keepsNoRun() {
	p.t.Helper()
	entries, err := os.ReadDir(p.state + "/claude-bottle/runs")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".lock") {
			p.t.Errorf("the state directory keeps %s", entry.Name())
		}
	}
}
