package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// How long a daemon may take to answer after its start, and to end.
const (
	startLimit = time.Minute
	stopLimit  = 30 * time.Second
)

// daemon is a dockerd of our own. Its data root is in the cache, so that
// images stay; all else is in a directory that goes with it.
type daemon struct {
	dir    string // socket, exec root, configuration, log
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process ended
	lock   *flock.Flock
	before *network
	gvisor bool // it knows the runtime runsc
}

func (d *daemon) host() string { return "unix://" + filepath.Join(d.dir, "docker.sock") }

// start installs what is missing and starts a daemon. One at a time: a second
// caller waits for the first one's end.
func start(ctx context.Context, cache string, o Options) (*daemon, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("no Docker engine answers, and only root can start one: start Docker, or run this as root")
	}
	if err := Install(ctx, o.Log, map[string]string{"dockerd": "docker.io", "iptables": "iptables"}); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(cache, "engine.lock"))
	if ok, err := lock.TryLockContext(ctx, time.Second); !ok {
		return nil, fmt.Errorf("wait for another engine of this cache: %w", err)
	}
	runsc, err := fetch(ctx, cache, o)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	d, err := launch(ctx, cache, runsc, o.Log)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	d.lock = lock
	return d, nil
}

// fetch makes what takes long and needs no engine, at once: gVisor's runtime,
// whose path it returns, and in a cache that is new what the base image is made
// of.
func fetch(ctx context.Context, cache string, o Options) (runsc string, err error) {
	all, ctx := errgroup.WithContext(ctx)
	if o.Gvisor {
		all.Go(func() (err error) {
			runsc, err = Gvisor(ctx, cache, o.Log)
			return err
		})
	}
	if _, err := os.Stat(filepath.Join(cache, "docker")); o.Base && err != nil {
		e := &Engine{cache: cache, log: o.Log}
		all.Go(func() error {
			_, err := e.rootfs(ctx)
			return err
		})
		all.Go(func() error { return e.node(ctx, map[string]string{}) })
	}
	err = all.Wait()
	return runsc, err
}

func launch(ctx context.Context, cache, runsc string, log io.Writer) (*daemon, error) {
	// Short, since it holds sockets, whose paths end at 107 bytes (unix(7)).
	dir, err := os.MkdirTemp("/run", "claude-bottle-engine-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	d := &daemon{dir: dir, ended: make(chan struct{}), gvisor: runsc != ""}
	if d.before, err = observeNetwork(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := d.spawn(cache, runsc); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	fmt.Fprintf(log, "engine: started dockerd (process %d) at %s\n", d.cmd.Process.Pid, d.host())
	if err := d.wait(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, d.lastWords()), d.stop(log))
	}
	return d, nil
}

func (d *daemon) spawn(cache, runsc string) error {
	path := func(name string) string { return filepath.Join(d.dir, name) }
	if err := writeConfig(path("daemon.json"), runsc); err != nil {
		return err
	}
	log, err := os.Create(path("dockerd.log"))
	if err != nil {
		return fmt.Errorf("open dockerd's log: %w", err)
	}
	defer log.Close()
	// Not bound to a context: it ends by stop, which gives it time.
	d.cmd = exec.Command("dockerd", //nolint:noctx // see above
		"--config-file", path("daemon.json"), "--data-root", filepath.Join(cache, "docker"),
		"--exec-root", path("exec"), "--pidfile", path("dockerd.pid"), "--host", d.host())
	d.cmd.Stdout, d.cmd.Stderr = log, log
	// Ctrl-C at the terminal is for the tests; the daemon is stopped after.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	go func() {
		defer close(d.ended)
		_ = d.cmd.Wait() // how it ended is in its log
	}()
	return nil
}

// writeConfig writes a daemon's configuration; runsc is gVisor's runtime, or
// empty.
func writeConfig(path, runsc string) error {
	config := map[string]any{}
	if runsc != "" {
		config["runtimes"] = map[string]any{
			"runsc": map[string]any{"path": runsc, "runtimeArgs": []string{"--ignore-cgroups"}},
		}
	}
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write dockerd's configuration: %w", err)
	}
	return nil
}

// wait returns when the daemon answers.
func (d *daemon) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	api, err := client.New(client.WithHost(d.host()))
	if err != nil {
		return err
	}
	defer api.Close()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for ping(ctx, api) != nil {
		select {
		case <-again.C:
		case <-d.ended:
			return errors.New("dockerd ended at its start")
		case <-ctx.Done():
			return fmt.Errorf("dockerd did not answer in %v", startLimit)
		}
	}
	return nil
}

// lastWords are the end of the daemon's log.
func (d *daemon) lastWords() string {
	out, err := os.ReadFile(filepath.Join(d.dir, "dockerd.log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// stop ends the daemon and takes away what it leaves behind: its directory,
// its bridge and its packet filter rules.
func (d *daemon) stop(log io.Writer) error {
	fmt.Fprintf(log, "engine: stopping dockerd (process %d)\n", d.cmd.Process.Pid)
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-d.ended:
	case <-time.After(stopLimit):
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	err := errors.Join(d.before.restore(ctx), unmountBelow(d.dir), os.RemoveAll(d.dir))
	if d.lock != nil {
		err = errors.Join(err, d.lock.Unlock())
	}
	return err
}
