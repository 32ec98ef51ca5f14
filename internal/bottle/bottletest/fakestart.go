//go:build linux

package bottletest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// process is a bottle's process 1 as its launcher has it.
type process struct {
	cmd    *exec.Cmd
	guest  *wire.GuestClient
	stderr tail
	ended  chan struct{} // closed when it has ended
}

// searchPath is where a bottle finds programs. The launcher's own path may lead
// through directories that the agent cannot search.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// start starts the guest of a bottle and registers how to end it.
func (e engine) start(l *bottle.Launching, spec bottle.Spec, o object) (*process, error) {
	config, err := json.Marshal(insideConfig{
		Run: string(l.Run.ID()), Dir: l.Run.Dir(),
		Home: spec.Home, Workspace: spec.Workspace, UID: spec.UID, GID: spec.GID,
	})
	if err != nil {
		return nil, err
	}
	listener, err := e.listen(o.Name)
	if err != nil {
		return nil, fmt.Errorf("listen for bottle %s: %w", o.Name, err)
	}
	defer func() { _ = listener.Close() }()
	socket, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }()

	p := &process{ended: make(chan struct{})}
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p.cmd = &exec.Cmd{
		Path: binary, Args: []string{insideName, string(config)}, Env: []string{"PATH=" + searchPath, "GORACE=atexit_sleep_ms=0"},
		Dir: "/", Stderr: &p.stderr, ExtraFiles: []*os.File{socket}, SysProcAttr: namespaces(),
	}
	boot, err := p.launch()
	if err != nil {
		return nil, fmt.Errorf("start bottle %s: %w", o.Name, err)
	}
	p.guest = wire.NewGuestClient(boot)
	l.Undo.Add("bottle "+o.Name, p.end)
	o.PID = p.cmd.Process.Pid
	return p, e.update(o)
}

// namespaces are what makes the guest process 1, with mounts and an abstract
// socket of its own. Without root they need a user namespace, in which the
// caller is itself and may mount.
func namespaces() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET}
	if os.Getuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	}
	return attr
}

// launch starts the process and returns its boot stream.
func (p *process) launch() (io.ReadWriteCloser, error) {
	stdin, toStdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	fromStdout, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), toStdin.Close())
	}
	p.cmd.Stdin, p.cmd.Stdout = stdin, stdout
	err = p.cmd.Start()
	_, _ = stdin.Close(), stdout.Close()
	boot := pipes{fromStdout, toStdin}
	if err != nil {
		return nil, errors.Join(err, boot.Close())
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	return boot, nil
}

// boot hands the boot frame over. On an error what the process said last is
// in it.
func (p *process) boot(ctx context.Context, plan bottle.Plan, secrets environ.Secrets, nonce string) error {
	boot := wire.GuestBoot{
		Run: string(plan.Run), Env: []string{"PATH=" + searchPath, "HOME=" + plan.Spec.Home},
		Secrets: secrets.Env(), DialUID: plan.Spec.UID, Attached: true,
		Nonce: nonce, NoncePath: nonceInside, Probe: true,
	}
	for _, entry := range plan.Spec.Env {
		if entry.Kind == environ.Literal {
			boot.Env = append(boot.Env, entry.Name+"="+entry.Value)
		}
	}
	boot.Env = append(boot.Env, secrets.Placeholders()...)
	if err := p.guest.Boot(ctx, boot); err != nil {
		return fmt.Errorf("%w%s", err, p.said())
	}
	return nil
}

// probe has the guest look at itself.
func (p *process) probe(ctx context.Context, spec bottle.Spec) (probe.Verdict, error) {
	request := wire.Probe{
		Deadline: probe.Deadline, Late: probe.Late, UID: spec.UID, GID: spec.GID,
		Kernel: wire.Kernel{Name: "Linux", Seccomp: "2", NoNewPrivs: "1", Filters: 1, Skip: OnFake.unprobed()},
		Dir:    spec.Workspace,
	}
	if len(spec.Argv) > 0 {
		request.Program = spec.Argv[0]
	}
	probed, err := p.guest.Probe(ctx, request)
	if err != nil {
		return probe.Verdict{}, fmt.Errorf("%w%s", err, p.said())
	}
	verdict := probe.Verdict{Findings: probed.Findings, Took: probed.Took}
	return verdict, verdict.Err()
}

func (p *process) said() string {
	if text := p.stderr.String(); text != "" {
		return ": " + text
	}
	return ""
}

// end ends the bottle: by the end of its boot stream, as a launcher that dies
// would, and by force when that is not enough.
func (p *process) end(ctx context.Context) error {
	_ = p.guest.Close()
	patience := time.NewTimer(2 * time.Second)
	defer patience.Stop()
	select {
	case <-p.ended:
		return nil
	case <-patience.C:
	case <-ctx.Done():
	}
	_ = p.cmd.Process.Kill()
	<-p.ended // SIGKILL is not refused
	return nil
}

// pipes is a stream of two pipes.
type pipes struct {
	io.ReadCloser
	to io.WriteCloser
}

func (p pipes) Write(data []byte) (int, error) { return p.to.Write(data) }
func (p pipes) Close() error                   { return errors.Join(p.to.Close(), p.ReadCloser.Close()) }

// tail keeps the last bytes written.
type tail struct {
	mu   sync.Mutex // guards data
	data []byte
}

const tailSize = 4 << 10

func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, data...)
	t.data = t.data[max(0, len(t.data)-tailSize):]
	return len(data), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.data))
}
