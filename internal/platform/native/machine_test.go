//go:build linux

package native

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/tree/treetest"
)

// TestWithoutBubblewrap: the launch is refused before the plan, and the hint
// names the package.
func TestWithoutBubblewrap(t *testing.T) {
	store, err := runs.Open(filepath.Join(t.TempDir(), "state"))
	check(t, err)
	p := newPlatform(t, store, func(name string) (string, bool) { return t.TempDir(), name == "PATH" })
	_, err = p.Prepare(t.Context(), plainSpec())
	for _, err := range []error{err, p.Ready(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "bubblewrap is not installed") || !strings.Contains(hint.Of(err), "apt-get install bubblewrap") {
			t.Errorf("%v (hint %q)", err, hint.Of(err))
		}
	}
}

// namespacesVariable tells a process of the test binary that it is where user
// namespaces are switched off.
const namespacesVariable = "CLAUDE_BOTTLE_TEST_NAMESPACES"

// TestUserNamespacesOff switches them off, as an administrator does, in a
// namespace of the test's own, whose setting is its own too.
func TestUserNamespacesOff(t *testing.T) {
	needBubblewrap(t)
	if os.Getenv(namespacesVariable) != "" {
		check(t, writeSetting(maxUserNamespaces, "0"))
		store, err := runs.Open(filepath.Join(t.TempDir(), "state"))
		check(t, err)
		p := newPlatform(t, store, func(string) (string, bool) { return "", false })
		_, err = p.Prepare(t.Context(), plainSpec())
		if err == nil || !strings.Contains(err.Error(), "user namespaces are switched off") || !strings.Contains(hint.Of(err), "sysctl user.max_user_namespaces") {
			t.Errorf("%v (hint %q)", err, hint.Of(err))
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestUserNamespacesOff$", "-test.v")
	cmd.Env = append(os.Environ(), namespacesVariable+"=1", binaryVariable+"="+ourBinary(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestUserNamespacesOff") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestFullDisk launches with a project that does not fit: an error that says so,
// with advice, and nothing is left, neither files nor processes.
func TestFullDisk(t *testing.T) {
	needBubblewrap(t)
	dir := treetest.Disk(t, "64m") // for the program too
	for path := dir; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		check(t, os.Chmod(path, 0o755))
	}
	project := t.TempDir()
	check(t, os.WriteFile(filepath.Join(project, "large"), make([]byte, 80<<20), 0o644))
	store, err := runs.Open(filepath.Join(dir, "state"))
	check(t, err)
	p := newPlatform(t, store, func(string) (string, bool) { return "", false })
	spec := plainSpec()
	spec.Cwd = project
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	plan, err := p.Prepare(ctx, spec)
	check(t, err)
	b, err := p.Launch(ctx, plan, environ.Secrets{})
	if err == nil {
		t.Fatal("launched", b.Close())
	}
	if !errors.Is(err, unix.ENOSPC) || hint.Of(err) == "" {
		t.Errorf("%v (hint %q)", err, hint.Of(err))
	}
	if infos, err := store.List(); err != nil || len(infos) != 0 {
		t.Errorf("runs: %v, %v", infos, err)
	}
	if left, err := p.objects().all(); err != nil || len(left) != 0 {
		t.Errorf("bottles: %v, %v", left, err)
	}
}
