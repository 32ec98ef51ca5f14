package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// Apart is an engine in a network namespace of its own, so that its rules and
// bridges do not meet those of another, and that may be killed and started
// again. It needs root, dockerd and iptables.
type Apart struct {
	dir, data string
	runsc     string    // empty for none
	namespace *exec.Cmd // holds the network namespace, whatever becomes of dockerd; nil where it is this process'
	daemon    *daemon
	log       io.Writer
}

// StartApart starts one, empty.
func StartApart(ctx context.Context, log io.Writer) (*Apart, error) {
	return startApart(ctx, log, (*Apart).separate)
}

// StartHere starts one, empty, in the network namespace of this process, which
// is one of the caller's own; runsc is gVisor's runtime, or empty.
func StartHere(ctx context.Context, log io.Writer, runsc string) (*Apart, error) {
	return startApart(ctx, log, func(a *Apart, _ context.Context) error {
		a.runsc = runsc
		return nil
	})
}

func startApart(ctx context.Context, log io.Writer, prepare func(*Apart, context.Context) error) (_ *Apart, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can start an engine")
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		return nil, fmt.Errorf("%w (apt-get install docker.io)", err)
	}
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	a := &Apart{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.dir, err = os.MkdirTemp("/run", "claude-bottle-apart-"); err != nil {
		return nil, err
	}
	if a.data, err = os.MkdirTemp(cache, "apart-"); err != nil {
		return nil, err
	}
	if err := prepare(a, ctx); err != nil {
		return nil, err
	}
	return a, a.Start(ctx)
}

// separate makes the network namespace.
func (a *Apart) separate(ctx context.Context) error {
	a.namespace = exec.Command("sleep", "infinity") //nolint:noctx // ended by Close
	a.namespace.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Setpgid: true}
	if err := a.namespace.Start(); err != nil {
		a.namespace = nil
		return fmt.Errorf("make a network namespace: %w", err)
	}
	return command(ctx, "nsenter", "--net="+a.Network(), "ip", "link", "set", "lo", "up")
}

// Host is the engine's address, as DOCKER_HOST has it.
func (a *Apart) Host() string { return "unix://" + filepath.Join(a.dir, "docker.sock") }

// Network is the file that stands for its network namespace.
func (a *Apart) Network() string {
	if a.namespace == nil {
		return "/proc/self/ns/net"
	}
	return filepath.Join("/proc", strconv.Itoa(a.namespace.Process.Pid), "ns/net")
}

// Dirs are where the engine keeps and mounts things.
func (a *Apart) Dirs() []string { return []string{a.dir, a.data} }

// Client speaks to it.
func (a *Apart) Client() (*client.Client, error) { return client.New(client.WithHost(a.Host())) }

// Start starts the daemon, for the first time or after Kill or Stop.
func (a *Apart) Start(ctx context.Context) error {
	path := func(name string) string { return filepath.Join(a.dir, name) }
	log, err := os.OpenFile(path("dockerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := os.Remove(path("dockerd.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := writeConfig(path("daemon.json"), a.runsc); err != nil {
		return err
	}
	d := &daemon{dir: a.dir, ended: make(chan struct{})}
	// nsenter becomes dockerd, so that its process id is dockerd's.
	d.cmd = exec.Command("nsenter", "--net="+a.Network(), //nolint:noctx // ended by Kill or Close
		"dockerd", "--config-file", path("daemon.json"), "--data-root", a.data, "--exec-root", path("exec"), "--pidfile", path("dockerd.pid"), "--host", a.Host())
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	go func() {
		defer close(d.ended)
		_ = d.cmd.Wait() // how it ended is in its log
	}()
	a.daemon = d
	if err := d.wait(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, d.lastWords())
	}
	return nil
}

// Kill ends dockerd and its containerd by SIGKILL. Containers live on.
func (a *Apart) Kill() error {
	err := a.daemon.cmd.Process.Kill()
	<-a.daemon.ended
	return errors.Join(err, a.killContainerd())
}

// Stop ends dockerd as its administrator does, with its containers.
func (a *Apart) Stop() error {
	a.terminate()
	return a.killContainerd()
}

func (a *Apart) terminate() {
	_ = a.daemon.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-a.daemon.ended:
	case <-time.After(stopLimit):
		_ = a.daemon.cmd.Process.Kill()
		<-a.daemon.ended
	}
}

// killContainerd ends what dockerd leaves, and forgets its process id: where
// nobody reaps it, the next dockerd would take it for alive.
func (a *Apart) killContainerd() error {
	path := filepath.Join(a.dir, "exec/containerd/containerd.pid")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return err
	}
	// The id may have become somebody else's.
	if command, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")); strings.Contains(string(command), a.dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended just now
	}
	return os.Remove(path)
}

// Close ends the engine and removes all that it had.
func (a *Apart) Close() error {
	var errs []error
	if a.daemon != nil {
		a.terminate()
		errs = append(errs, a.killContainerd(), a.killShims())
	}
	if a.namespace != nil {
		_ = a.namespace.Process.Kill()
		_ = a.namespace.Wait() // it was killed
	}
	for _, dir := range []string{a.dir, a.data} {
		if dir != "" {
			// dockerd mounts its data root onto itself.
			errs = append(errs, unmountBelow(dir), unmountAt(dir), os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

// killShims ends the containers of a daemon that did not come to end them, and
// what watches over them.
func (a *Apart) killShims() error {
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, path := range commands {
		command, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(command), "-address\x00"+a.dir) {
			continue // it ended, or is somebody else's
		}
		shim := filepath.Base(filepath.Dir(path))
		children, _ := os.ReadFile(filepath.Join("/proc", shim, "task", shim, "children"))
		for pid := range strings.FieldsSeq(string(children) + " " + shim) {
			if n, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL) // it may have ended
			}
		}
	}
	return nil
}

// unmountAt unmounts what is mounted at dir, if anything.
func unmountAt(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}
