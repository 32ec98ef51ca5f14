//go:build linux

package escape_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
