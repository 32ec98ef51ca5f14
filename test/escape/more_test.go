//go:build linux

package escape_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/test/escape/attacks"
)

// TestAttacksWithMounts makes every attack in bottles that see more of the host:
// a directory by `mounts`, and on native a toolchain of the person's.
func TestAttacksWithMounts(t *testing.T) {
	if !all() {
		t.Skip("no part of the sample: make test-escape")
	}
	everywhere(t, func(t *testing.T, p *person) {
		seen := p.outsideOfTmp(t)
		tools := filepath.Join(seen, "tools")
		manifest := "    mounts: [" + tools + "]\n"
		p.give(t, seen, "tools/tool")
		if p.place.platform == "native" {
			const bin = "pyenv/versions/3.13.0/bin"
			p.give(t, seen, bin+"/python3.13")
			p.env = append(p.env, "PYENV_ROOT="+filepath.Join(seen, "pyenv"), "PATH="+filepath.Join(seen, bin)+":"+os.Getenv("PATH"))
			manifest += "    toolchains: auto\n"
		}
		p.manifest(manifest)
		plan := p.run(nil, "start", p.agent, "--cwd", "--dry-run")
		if want := strings.Count(manifest, "\n"); plan.code != 0 || strings.Count(plan.stderr, seen) < want {
			t.Fatalf("the plan does not show %d mounts below %s: code %d\n%s", want, seen, plan.code, plan.stderr)
		}
		p.attacked(t, p.place.name)
	})
}

// TestAttacksOnPipelock makes those attacks that no policy answers in bottles
// whose gateway is another program, here its stand-in: they have a network on
// every runtime. It listens where ours does.
func TestAttacksOnPipelock(t *testing.T) {
	if !all() {
		t.Skip("no part of the sample: make test-escape")
	}
	decided := []string{"names", "disagree", "dns"}
	var ids []string
	wanted := func(a attacks.Attack) bool { return !a.Full && !slices.Contains(decided, a.Family()) }
	for _, a := range attacks.Table() {
		if wanted(a) {
			ids = append(ids, a.ID)
		}
	}
	at(t, func(t *testing.T, p *person) {
		const image = "claude-bottle-test-escape-pipelock:1"
		if err := importImage(image, "pipelock", map[string]int64{"pipelock": 0o755}, `ENTRYPOINT ["/pipelock"]`); err != nil {
			t.Fatal(err)
		}
		p.env = append(p.env, "CLAUDE_BOTTLE_PIPELOCK_IMAGE="+image, "CLAUDE_BOTTLE_PIPELOCK_PORT=3128")
		p.manifest("    gateway: pipelock\n")
		path := filepath.Join(p.home, "claude-bottle.yaml")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// It takes the name above for one of those below.
		text = bytes.Replace(text, []byte(`"*.wild.example"`), []byte(`wild.example, "*.wild.example"`), 1)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		came := map[string]attacks.Result{}
		for _, r := range p.attacks(t, append([]string{"control/absolute", "control/connect"}, ids...)...) {
			came[r.ID] = r
		}
		for _, id := range []string{"control/absolute", "control/connect"} {
			if came[id].Outcome != attacks.Through {
				t.Errorf("%s: %+v", id, came[id])
			}
		}
		holdEach(t, p.place.name, came, wanted)
	}, places[0], places[1])
}

// outsideOfTmp is a directory of the person's; bottles have a /tmp of their own,
// and nothing of the host's is mounted there.
func (p *person) outsideOfTmp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/opt", "cbe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// give puts a program into a directory, as the person's.
func (p *person) give(t *testing.T, dir, program string) {
	t.Helper()
	path := filepath.Join(dir, program)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755)
	}
	for ; err == nil && path != filepath.Dir(dir); path = filepath.Dir(path) {
		err = errors.Join(err, os.Chown(path, int(p.place.uid), int(p.place.uid)))
	}
	if err != nil {
		t.Fatal(err)
	}
}
