//go:build linux

package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// The test's binary is also the guest, as the product's is.
const (
	roleVariable = "GUEST_TEST_ROLE"
	uidVariable  = "GUEST_TEST_UID"
	roleInit     = "init"      // process 1 of namespaces of its own
	roleSub      = "subreaper" // a process among others
	roleDial     = "dial"
)

func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], ProbeArgs()) {
		if err := probe.Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(0) //nolint:forbidigo // this process is no test
	}
	role := os.Getenv(roleVariable)
	if role == "" {
		goleak.VerifyTestMain(m)
		return
	}
	code := 0
	if role == roleDial {
		code = dialMain()
	} else {
		code = guestMain(role)
	}
	os.Exit(code) //nolint:forbidigo // this process is no test
}

// dialMain is what `claude-bottle guest dial` does.
func dialMain() int {
	becomeTestUID()
	if err := Dial(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// guestMain is what a container runtime and `claude-bottle guest init` do.
func guestMain(role string) int {
	_ = os.Unsetenv(roleVariable)
	if role == roleInit {
		for _, mount := range []struct {
			source, target, kind string
			flags                uintptr
		}{
			{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
			{"proc", "/proc", "proc", 0},
		} {
			if err := unix.Mount(mount.source, mount.target, mount.kind, mount.flags, ""); err != nil {
				fmt.Fprintln(os.Stderr, "mount", mount.target, err)
				return 99
			}
		}
	}
	becomeTestUID()
	if err := forbidFilters(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	return Init(context.Background(), os.Stdin, os.Stdout, wire.Bounds{})
}

// becomeTestUID drops root for the uid that the environment names, if any.
func becomeTestUID() {
	uid, err := strconv.Atoi(os.Getenv(uidVariable))
	if err != nil {
		return
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)); err != nil {
		panic(err)
	}
}

// bottle is a guest in a process of its own, and the launcher's end of its
// boot stream.
type bottle struct {
	*wire.GuestClient
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	waited chan error
	nonce  string
}

type pipes struct {
	io.ReadCloser
	write io.WriteCloser
}

func (p pipes) Write(b []byte) (int, error) { return p.write.Write(b) }

func (p pipes) Close() error {
	_ = p.write.Close()
	return p.ReadCloser.Close()
}

// option changes how a guest of a test starts.
type option func(cmd *exec.Cmd, boot *wire.GuestBoot)

func asUID(uid int) option {
	return func(cmd *exec.Cmd, boot *wire.GuestBoot) {
		cmd.Env = append(cmd.Env, uidVariable+"="+strconv.Itoa(uid))
		boot.DialUID = uid
	}
}

func asSubreaper(cmd *exec.Cmd, boot *wire.GuestBoot) {
	cmd.SysProcAttr = nil
	cmd.Env = append(cmd.Env, roleVariable+"="+roleSub)
	boot.DialUID = -1
}

func withBoot(change func(*wire.GuestBoot)) option {
	return func(_ *exec.Cmd, boot *wire.GuestBoot) { change(boot) }
}

// spawn starts a guest as process 1 of new namespaces, not booted yet.
func spawn(t *testing.T, options ...option) (*bottle, wire.GuestBoot) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for namespaces")
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	nonce := filepath.Join(t.TempDir(), "nonce")
	if err := os.WriteFile(nonce, []byte("of this launch"), 0o644); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(nonce); dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path)
	cmd.Env = append(os.Environ(), roleVariable+"="+roleInit, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
	}
	boot := wire.GuestBoot{
		Run: "test", Env: []string{"PATH=" + defaultPath, "HOME=/tmp", "KEPT=yes"},
		DialUID: 0, Attached: true, Nonce: "of this launch", NoncePath: nonce,
	}
	for _, option := range options {
		option(cmd, &boot)
	}
	streams := startPiped(t, cmd)
	b := &bottle{cmd: cmd, stdin: streams.write, waited: make(chan error, 1), nonce: nonce}
	b.GuestClient = wire.NewGuestClient(streams)
	go func() {
		<-b.Done() // Wait closes the pipes, so only after the last read
		b.waited <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = b.Close()
		_ = b.end(t)
	})
	return b, boot
}

// end waits for the guest's own end.
func (b *bottle) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-b.waited:
		b.waited <- err
		return err
	case <-time.After(10 * time.Second):
		_ = b.cmd.Process.Kill()
		t.Fatal("the guest did not end with its boot stream")
		return nil
	}
}

// launch starts and boots a guest.
func launch(t *testing.T, options ...option) *bottle {
	t.Helper()
	b, boot := spawn(t, options...)
	if err := b.Boot(deadline(t), boot); err != nil {
		t.Fatal(err)
	}
	return b
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// startPiped starts a command and returns its standard streams.
func startPiped(t *testing.T, cmd *exec.Cmd) pipes {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return pipes{out, in}
}

// dial opens a further conversation through `guest dial` in the bottle's
// network namespace, as an engine's exec would.
func (b *bottle) dial(t *testing.T, uid int) *wire.GuestClient {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(b.cmd.Process.Pid)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "nsenter", "-t", pid, "-n", "-p", path)
	cmd.Env = append(os.Environ(), uidVariable+"="+strconv.Itoa(uid), roleVariable+"="+roleDial, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	client := wire.NewGuestClient(startPiped(t, cmd))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-client.Done()
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = client.Close()
		<-ended
	})
	return client
}
