//go:build linux

package native

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/platform"
)

// TestMountsInside sees a directory and a file of the host in a bottle, and
// nothing beside them; neither can be written to.
func TestMountsInside(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root makes a directory that is neither temporary nor a home")
	}
	dir, err := os.MkdirTemp("/opt", "claude-bottle-test-")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	tool := filepath.Join(dir, "tool")
	check(t, os.MkdirAll(filepath.Join(tool, "bin"), 0o755))
	check(t, os.WriteFile(filepath.Join(tool, "bin", "hello"), []byte("#!/bin/sh\necho hello\n"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "beside"), []byte("secret"), 0o644))
	check(t, os.Symlink(tool, filepath.Join(dir, "current")))
	b, _ := launched(t, func(spec *bottle.Spec) { spec.Mounts = []string{filepath.Join(dir, "current")} })
	out := sh(t, b, "exec 2>&1; "+filepath.Join(dir, "current/bin/hello")+"; cd "+dir+"; ls; touch current/x current/bin/hello x; cat beside; cat "+tool+"/bin/hello 2>/dev/null; ls -d "+tool)
	if !strings.HasPrefix(out, "hello\ncurrent\n") || strings.Count(out, "cannot touch") != 3 || strings.Count(out, "No such file") != 2 || strings.Contains(out, "secret") {
		t.Errorf("inside: %s", out)
	}
}

// TestMountReplacedAfterThePlan is a link that leads elsewhere once the plan
// was shown.
func TestMountReplacedAfterThePlan(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root makes a directory that is neither temporary nor a home")
	}
	dir, err := os.MkdirTemp("/opt", "claude-bottle-test-")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"shown", "other"} {
		check(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	link := filepath.Join(dir, "link")
	check(t, os.Symlink("shown", link))
	spec := bottle.Spec{Home: bottle.DefaultHome, Workspace: bottle.Workspace, Mounts: []string{link}}
	plan := bottle.Plan{Spec: spec}
	plan.Mounts, err = platform.HostMounts(t.Context(), spec, "", "")
	check(t, err)
	check(t, platform.CheckMounts(t.Context(), plan, "", ""))
	check(t, os.Remove(link))
	check(t, os.Symlink("other", link))
	if err := platform.CheckMounts(t.Context(), plan, "", ""); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("what replaced it: %v", err)
	}
}
