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
	"claude-bottle/internal/platform"
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

// TestSupervisorThatEndsAtOnce is one that may make no namespaces, and had ended
// before anybody asked which process it is: what it said is known.
func TestSupervisorThatEndsAtOnce(t *testing.T) {
	program := filepath.Join(t.TempDir(), "ends")
	check(t, os.WriteFile(program, []byte("#!/bin/sh\necho not permitted >&2\n"), 0o755)) //nolint:gosec // G306: a program
	s, err := startSupervisor(platform.Program{Guest: program}, program, who{uid: os.Getuid(), gid: os.Getgid()})
	check(t, err)
	<-s.ended
	if _, err := s.itself(); !errors.Is(err, errNotMade) || !strings.Contains(s.lastWords(), "not permitted") {
		t.Errorf("%v%s", err, s.lastWords())
	}
	check(t, s.end(t.Context()))
}

// TestNamespacesNotMade has advice, whatever kept them from being made.
func TestNamespacesNotMade(t *testing.T) {
	store, err := runs.Open(filepath.Join(t.TempDir(), "state"))
	check(t, err)
	p := newPlatform(t, store, func(string) (string, bool) { return "", false })
	for setting, advice := range map[string]string{"0": "`claude-bottle doctor`", "1": "`sudo apparmor_parser -r /etc/apparmor.d/claude-bottle-" + itoa(os.Getuid()) + "`"} {
		stands(t, &apparmorRestricted, setting)
		if err := p.errNamespaces(errNotMade); !errors.Is(err, errNotMade) || !strings.Contains(hint.Of(err), advice) {
			t.Errorf("restricted %s: %v (hint %q)", setting, err, hint.Of(err))
		}
	}
}

// stands has a setting of the kernel's be another, for a test's time.
func stands(t *testing.T, setting *string, value string) {
	t.Helper()
	kernels := *setting
	t.Cleanup(func() { *setting = kernels })
	*setting = filepath.Join(t.TempDir(), "setting")
	check(t, os.WriteFile(*setting, []byte(value+"\n"), 0o600))
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
