package hoststate_test

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"claude-bottle/test/engine"
	"claude-bottle/test/hoststate"
)

func TestDiff(t *testing.T) {
	before := hoststate.State{"file a", "file b", "file b"}
	after := hoststate.State{"container c", "file b"}
	want := "+ container c\n- file a\n- file b"
	if got := hoststate.Diff(before, after); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := hoststate.Diff(before.Of("container"), after.Without("container", "file")); got != "" {
		t.Errorf("nothing beside nothing: %q", got)
	}
}

// leaks is a machine on which things are left on purpose.
type leaks struct {
	t    *testing.T
	api  *client.Client
	name string // in the name of all of ours
	dir  string
}

// remove undoes at the test's end.
func (l *leaks) remove(what string, undo func(ctx context.Context) error) {
	l.t.Cleanup(func() {
		if err := undo(context.Background()); err != nil {
			l.t.Errorf("remove %s: %v", what, err)
		}
	})
}

// container makes and starts one, and returns its id.
func (l *leaks) container(name string, labels map[string]string) string {
	l.t.Helper()
	created, err := l.api.ContainerCreate(l.t.Context(), client.ContainerCreateOptions{
		Name:       name,
		Config:     &container.Config{Image: engine.ShellImage, Cmd: []string{"sleep", "60"}, Labels: labels, Volumes: map[string]struct{}{"/data": {}}},
		HostConfig: &container.HostConfig{NetworkMode: "none"},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.remove(name, func(ctx context.Context) error {
		_, err := l.api.ContainerRemove(ctx, created.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		return err
	})
	if _, err := l.api.ContainerStart(l.t.Context(), created.ID, client.ContainerStartOptions{}); err != nil {
		l.t.Fatal(err)
	}
	return created.ID
}

func (l *leaks) network(name string, labels map[string]string) string {
	l.t.Helper()
	created, err := l.api.NetworkCreate(l.t.Context(), name, client.NetworkCreateOptions{Labels: labels})
	if err != nil {
		l.t.Fatal(err)
	}
	l.remove(name, func(ctx context.Context) error {
		_, err := l.api.NetworkRemove(ctx, created.ID, client.NetworkRemoveOptions{})
		return err
	})
	return created.ID
}

// host leaves what the engine knows nothing of.
func (l *leaks) host() {
	l.t.Helper()
	process := exec.Command("sleep", "60") //nolint:noctx // ended below
	process.Env = []string{"STATE=" + l.dir}
	if err := process.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.remove("process", func(context.Context) error {
		_ = process.Process.Kill()
		_ = process.Wait() // it was killed
		return nil
	})
	if err := os.WriteFile(filepath.Join(l.dir, "left"), nil, 0o600); err != nil {
		l.t.Fatal(err)
	}
	mounted := filepath.Join(l.dir, "mounted")
	if err := os.Mkdir(mounted, 0o700); err != nil {
		l.t.Fatal(err)
	}
	if err := unix.Mount("test", mounted, "tmpfs", 0, ""); err != nil {
		l.t.Fatal(err)
	}
	l.remove("mount", func(context.Context) error { return unix.Unmount(mounted, unix.MNT_DETACH) })
	bridge := "br-" + strings.Repeat("e", 12) // of no network that the engine knows
	for _, args := range [][]string{
		{"ip", "link", "add", bridge, "type", "bridge"},
		{"iptables", "-w", "-A", "FORWARD", "-i", bridge, "-j", "ACCEPT"},
	} {
		if out, err := exec.CommandContext(l.t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			l.t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	l.remove("bridge", func(ctx context.Context) error {
		if err := exec.CommandContext(ctx, "iptables", "-w", "-D", "FORWARD", "-i", bridge, "-j", "ACCEPT").Run(); err != nil {
			return err
		}
		return exec.CommandContext(ctx, "ip", "link", "delete", bridge).Run()
	})
}

// TestEveryKindIsSeen leaves one of everything.
func TestEveryKindIsSeen(t *testing.T) {
	api, _ := engine.Need(t)
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: this test needs root (it leaves mounts and rules)")
	}
	if err := engine.Shell(t.Context(), api); err != nil {
		t.Fatal(err)
	}
	l := &leaks{t: t, api: api, name: "leak-" + strings.ToLower(rand.Text()[:8]), dir: t.TempDir()}
	o, err := hoststate.New(t.Context(), api, hoststate.Options{
		Owner: "owner-of-" + l.name, Marks: []string{l.name, l.dir}, Roots: []string{l.dir},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	before, err := o.Before(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := map[string]string{"claude-bottle.owner": "somebody"}
	otherContainer := l.container("other-of-test-"+rand.Text(), other)
	otherNetwork := l.network("other-of-test-"+rand.Text(), other)
	l.container("labelled-"+rand.Text(), map[string]string{"claude-bottle.owner": "owner-of-" + l.name})
	named := l.container(l.name, nil)
	network := l.network(l.name, nil)
	l.host()
	left, err := o.Back(t.Context(), before, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`^\+ container /` + l.name + ` running$`, `^\+ container /labelled-`, `^\+ network ` + l.name + ` `, `^\+ volume `,
		`^\+ process \d+ .*containerd-shim.* -id ` + named, `^\+ process \d+ sleep 60$`,
		`^\+ mount .*/mounted tmpfs`, `^\+ mount .*/merged overlay`, `^\+ namespace `,
		`^\+ interface br-` + network[:12], `^\+ interface br-e{12}`,
		`^\+ rule iptables-save .* br-` + network[:12], `^\+ rule iptables-save .* br-e{12} -j ACCEPT`,
		`^\+ cgroup .*` + named, `^\+ file .*/left -rw`,
	} {
		if !regexp.MustCompile("(?m)" + want).MatchString(left) {
			t.Errorf("not seen: %s", want)
		}
	}
	for _, foreign := range []string{otherContainer, otherNetwork[:12], "other-of-test"} {
		if strings.Contains(left, foreign) {
			t.Errorf("counted though it is somebody else's: %s", foreign)
		}
	}
	if t.Failed() {
		t.Logf("what was seen:\n%s", left)
	}
}
