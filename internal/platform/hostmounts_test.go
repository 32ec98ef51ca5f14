package platform

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
)

// elsewhere is a directory that is neither temporary nor a home, as what people
// mount is.
func elsewhere(t *testing.T) string {
	t.Helper()
	base := "/opt"
	if os.Getuid() != 0 {
		base, _ = os.UserCacheDir()
	}
	dir, err := os.MkdirTemp(base, "claude-bottle-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func makeDir(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, target, name string) string {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestMountsRefused asks for what must not be seen inside, under each name that
// it can be given.
func TestMountsRefused(t *testing.T) {
	dir := elsewhere(t)
	home := makeDir(t, filepath.Join(dir, "home"))
	state := makeDir(t, filepath.Join(dir, "state", "claude-bottle"))
	keys := makeDir(t, filepath.Join(home, ".ssh"))
	makeDir(t, filepath.Join(home, ".config", "gh"))
	makeDir(t, filepath.Join(home, ".cargo", "bin"))
	makeDir(t, filepath.Join(dir, "real", "aws"))
	link(t, filepath.Join(dir, "real", "aws"), filepath.Join(home, ".aws"))
	tool := makeDir(t, filepath.Join(dir, "tool", "bin"))
	socket := filepath.Join(makeDir(t, filepath.Join(dir, "served")), "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := unix.Mkfifo(filepath.Join(makeDir(t, filepath.Join(dir, "piped", "deep")), "f"), 0o666); err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{
		"/": "whole part", "/home": "whole part", "/root": "whole part", "/usr": "whole part", "/usr/local/bin": "whole part",
		"/etc": "the system's /etc", "/etc/ssl": "/etc", "/proc": "/proc", "/proc/self/root": "/proc", "/sys/fs": "/sys",
		"/dev/shm": "/dev", "/run/user": "/run", "/var/run": "/run", "/var/run/docker.sock": "", "/tmp": "/tmp", "/var/lib/docker": "docker",
		"/var": "whole part", "/root/.ssh": "", "/srv/backup/.gnupg": "",

		home: "home directory", dir: "home directory", keys: "credentials", filepath.Join(home, ".config"): "credentials",
		filepath.Join(home, ".config", "gh"): "gh", filepath.Join(home, ".docker"): "", filepath.Join(home, ".kube"): "",
		filepath.Join(home, ".npmrc"): "", filepath.Join(home, ".cargo"): "credentials", filepath.Join(dir, "real", "aws"): ".aws",
		filepath.Join(dir, "real"): ".aws", filepath.Join(dir, "state"): "runs", filepath.Join(state, "runs"): "runs",
		link(t, keys, filepath.Join(dir, "innocent")):               ".ssh",
		link(t, home, filepath.Join(dir, "me")) + "/.ssh":           ".ssh",
		link(t, "/etc", filepath.Join(dir, "tool", "etc")) + "/ssl": "/etc",
		filepath.Join(dir, "served"):                                "socket", socket: "socket", filepath.Join(dir, "piped"): "pipe",
		filepath.Join(dir, "missing"): "no such file",
		"/home/node":                  "", "/home/node/workspace/x": "",
	}
	for path, why := range refused {
		spec := bottle.Spec{Home: bottle.DefaultHome, Workspace: bottle.Workspace, Mounts: []string{tool, path}}
		mounts, err := HostMounts(t.Context(), spec, home, state)
		if err == nil || !strings.Contains(err.Error(), why) || !strings.HasPrefix(err.Error(), "mounts "+path+": ") {
			t.Errorf("%s: %v, %v, want it refused for %q", path, mounts, err, why)
		}
	}
	for _, path := range []string{tool, filepath.Join(home, ".cargo", "bin"), link(t, tool, filepath.Join(dir, "current"))} {
		spec := bottle.Spec{Home: bottle.DefaultHome, Workspace: bottle.Workspace, Mounts: []string{path}}
		mounts, err := HostMounts(t.Context(), spec, home, state)
		if err != nil || len(mounts) != 1 || mounts[0].Target != path {
			t.Errorf("%s: %v, %v", path, mounts, err)
		}
	}
}

// TestMountsAreNotFooledByMounts has a directory of credentials mounted
// elsewhere, and in the midst of something harmless.
func TestMountsAreNotFooledByMounts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root mounts")
	}
	dir := elsewhere(t)
	home := makeDir(t, filepath.Join(dir, "home"))
	keys := makeDir(t, filepath.Join(home, ".config", "gh"))
	for _, at := range []string{filepath.Join(dir, "alias"), filepath.Join(dir, "tool", "lib", "keys")} {
		if err := unix.Mount(keys, makeDir(t, at), "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	}
	for _, path := range []string{filepath.Join(dir, "alias"), filepath.Join(dir, "tool"), filepath.Join(dir, "tool", "lib", "keys")} {
		spec := bottle.Spec{Home: bottle.DefaultHome, Workspace: bottle.Workspace, Mounts: []string{path}}
		if _, err := HostMounts(t.Context(), spec, home, ""); err == nil || !strings.Contains(err.Error(), "gh") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
