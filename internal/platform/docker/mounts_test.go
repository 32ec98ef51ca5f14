package docker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	testengine "claude-bottle/test/engine"
)

// hostTool is a directory outside of every home, with a link that leads to it.
func hostTool(t *testing.T) (tool, link string) {
	t.Helper()
	dir, err := os.MkdirTemp("/opt", "claude-bottle-test-")
	if err != nil {
		t.Skip("only root makes a directory that is neither temporary nor a home: ", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tool, link = filepath.Join(dir, "tool"), filepath.Join(dir, "current")
	err = errors.Join(
		os.Chmod(dir, 0o755), os.Mkdir(tool, 0o777), os.Chmod(tool, 0o777), os.Symlink(tool, link),
		os.WriteFile(filepath.Join(tool, "hello"), []byte("hello"), 0o644), os.Chmod(filepath.Join(tool, "hello"), 0o666), os.WriteFile(filepath.Join(dir, "beside"), nil, 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	return tool, link
}

// runtimes runs a test for bottles on each of them.
func runtimes(t *testing.T, test func(t *testing.T, isolation bottle.Isolation)) {
	t.Helper()
	for name, isolation := range map[string]bottle.Isolation{"runc": bottle.Runc, "gVisor": bottle.Runsc} {
		t.Run(name, func(t *testing.T) {
			if isolation == bottle.Runsc {
				testengine.NeedGvisor(t)
			}
			test(t, isolation)
		})
	}
}

// TestMounts is a directory of the host in a container, read-only, under the
// name of the link that the manifest says.
func TestMounts(t *testing.T) {
	runtimes(t, func(t *testing.T, isolation bottle.Isolation) {
		b := newBench(t)
		b.nothingLeft(t)
		_, link := hostTool(t)
		spec := b.spec()
		spec.Isolation, spec.Mounts = isolation, []string{link}
		out := sh(t, b.launch(t, spec), "cat "+link+"/hello; ls "+filepath.Dir(link)+"; touch "+link+"/x "+link+"/hello 2>&1 || true")
		if !strings.HasPrefix(out, "hellocurrent\n") || strings.Count(out, "Read-only") != 2 {
			t.Errorf("inside: %s", out)
		}
	})
}

// TestMountReplacedWhileItIsMade is a directory that another takes the place of
// once the launch has looked at it, before its container is made: the launch is
// undone.
func TestMountReplacedWhileItIsMade(t *testing.T) {
	runtimes(t, func(t *testing.T, isolation bottle.Isolation) {
		b := newBench(t)
		b.nothingLeft(t)
		tool, link := hostTool(t)
		spec := b.spec()
		spec.Isolation, spec.Mounts = isolation, []string{link}
		p := b.platform(t)
		plan, err := p.Prepare(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(tool+"-other", 0o755); err != nil {
			t.Fatal(err)
		}
		e, err := p.engine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		replaced := errors.New("no container was made")
		var once sync.Once
		e.breach.container = func(string, *client.ContainerCreateOptions) {
			once.Do(func() {
				replaced = unix.Renameat2(unix.AT_FDCWD, tool, unix.AT_FDCWD, tool+"-other", unix.RENAME_EXCHANGE)
			})
		}
		i, err := p.Launch(t.Context(), plan, environ.Secrets{})
		if err == nil {
			_ = i.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "the plan says") {
			t.Errorf("what replaced it: %v", err)
		}
		if replaced != nil {
			t.Error(replaced)
		}
	})
}
