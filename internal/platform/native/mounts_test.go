//go:build linux

package native

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/supervise"
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

// TestMountReplacedWhileItIsMade is a directory that another takes the place of
// when everything was looked at, right before bubblewrap is told to mount it: the
// guest sees that it is another, and the launch is undone.
func TestMountReplacedWhileItIsMade(t *testing.T) {
	needBubblewrap(t)
	if os.Getuid() != 0 {
		t.Skip("only root makes a directory that is neither temporary nor a home")
	}
	dir, err := os.MkdirTemp("/opt", "claude-bottle-test-")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	shown, other := filepath.Join(dir, "shown"), filepath.Join(dir, "other")
	for _, name := range []string{shown, other} {
		check(t, os.Mkdir(name, 0o755))
	}
	replace := map[string]func(){
		"by another":          func() { check(t, unix.Renameat2(unix.AT_FDCWD, shown, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)) },
		"by a link elsewhere": func() { check(t, os.Rename(shown, shown+"-was")); check(t, os.Symlink("/var", shown)) },
	}
	for _, how := range []string{"by another", "by a link elsewhere"} {
		t.Run(how, func(t *testing.T) {
			store, err := runs.Open(filepath.Join(reachableDir(t), "state"))
			check(t, err)
			p := newPlatform(t, store, func(string) (string, bool) { return "", false })
			p.breach.order = func(*supervise.Order, int) { replace[how]() }
			spec := plainSpec()
			spec.Mounts = []string{shown}
			if err := launchOpen(t, p, spec); !strings.Contains(err.Error(), "is not what the plan says: "+shown+": another one") {
				t.Errorf("what replaced it: %v", err)
			}
			if left, err := store.List(); err != nil || len(left) > 0 {
				t.Errorf("the launch was not undone: %+v, %v", left, err)
			}
		})
	}
}

// TestToolchainReplacedAfterThePlan: the directories of a toolchain are those
// that the plan shows, and so is what of them stays hidden.
func TestToolchainReplacedAfterThePlan(t *testing.T) {
	for what, change := range map[string]func(t *testing.T, version string){
		"another directory": func(t *testing.T, version string) {
			check(t, os.Rename(version, version+"-was"))
			check(t, os.CopyFS(version, os.DirFS(version+"-was")))
		},
		"a link": func(t *testing.T, version string) {
			check(t, os.Rename(version, version+"-was"))
			check(t, os.Symlink("/etc", version))
		},
		"settings that would be seen": func(t *testing.T, version string) {
			check(t, os.WriteFile(filepath.Join(version, "pip.conf"), []byte("token"), 0o644))
		},
		"nothing": nil,
	} {
		t.Run(what, func(t *testing.T) {
			home := t.TempDir()
			path := tools(t, home)
			p := &Platform{config: Config{Home: home, Getenv: func(name string) string { return map[string]string{"PATH": path}[name] }}}
			plan := bottle.Plan{Spec: bottle.Spec{Toolchains: true}, Native: &bottle.NativePlan{}}
			kept, left := withoutForbidden(t.Context(), toolchains(home, p.config.Getenv), &platform.Vetting{}, os.Getuid(), os.Getgid())
			if len(left) > 0 {
				t.Fatal(left)
			}
			addToolchains(&plan, kept)
			if change != nil {
				change(t, filepath.Join(home, ".nvm/versions/node/v22.1.0"))
			}
			err := errors.Join(p.checkToolchains(plan), platform.SameMounts(plan.Mounts))
			if (err != nil) != (change != nil) {
				t.Errorf("%v", err)
			}
		})
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
	shown := filepath.Join(dir, "shown")
	check(t, os.Rename(shown, shown+"-was"))
	check(t, os.Mkdir(shown, 0o755))
	if err := platform.CheckMounts(t.Context(), plan, "", ""); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("another directory of that name: %v", err)
	}
	check(t, os.Remove(link))
	check(t, os.Symlink("other", link))
	if err := platform.CheckMounts(t.Context(), plan, "", ""); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("what replaced it: %v", err)
	}
}
