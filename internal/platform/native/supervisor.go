//go:build linux

package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/failpoint"
)

// supervisor is a `supervise` as its launcher has it.
type supervisor struct {
	cmd     *exec.Cmd
	gateway io.ReadWriteCloser // the gateway's stream, which is the supervisor's life
	guest   io.ReadWriteCloser // the boot stream
	order   *os.File           // nil once it was given
	child   *os.File           // where the supervisor says which process it started
	inside  *os.File           // a descriptor of that, process 1 of a namespace; nil before it is known
	stderr  tail
	ended   chan struct{} // closed when it has ended, and with it all that it started
}

// startSupervisor starts the supervisor of a run. It makes nothing before the
// order comes but its own namespaces, and ends with this process.
func (l *launch) startSupervisor(program string) (*supervisor, error) {
	defer failpoint.Span("native.start-supervisor")()
	spec := l.plan.Spec
	socket, err := listenIn(l.Run.Dir(), guestSocket)
	if err != nil {
		return nil, err
	}
	control, err := listenIn(l.Run.Dir(), controlSocket)
	if err != nil {
		closeFiles(socket)
		return nil, err
	}
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
		}
		return r, w
	}
	gatewayIn, toGateway := pipe()
	fromGateway, gatewayOut := pipe()
	orderIn, order := pipe()
	guestIn, toGuest := pipe()
	fromGuest, guestOut := pipe()
	child, childOut := pipe()
	defer closeFiles(socket, control, gatewayIn, gatewayOut, orderIn, guestIn, guestOut, childOut)
	ours := []*os.File{toGateway, fromGateway, order, toGuest, fromGuest, child}
	if err != nil {
		closeFiles(ours...)
		return nil, err
	}
	s := &supervisor{
		gateway: duplex{fromGateway, toGateway}, guest: duplex{fromGuest, toGuest}, order: order, child: child,
		ended: make(chan struct{}),
	}
	s.cmd = &exec.Cmd{
		Path: program, Args: []string{"claude-bottle", SuperviseCommand, string(l.Run.ID()), strconv.Itoa(len(l.groups)), l.Run.Path(bottle.RecordDir)},
		Env: []string{}, Dir: "/", Stdin: gatewayIn, Stdout: gatewayOut, Stderr: &s.stderr,
		ExtraFiles:  append([]*os.File{orderIn, guestIn, guestOut, childOut, socket, control}, l.groups...),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: credential(spec.UID, spec.GID)},
		WaitDelay:   endPatience,
	}
	if err := s.cmd.Start(); err != nil {
		closeFiles(ours...)
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait()
	}()
	return s, nil
}

func closeFiles(files ...*os.File) {
	for _, file := range files {
		if file != nil {
			_ = file.Close()
		}
	}
}

// credential is who the parts of a bottle run as, for a launcher that is root:
// the agent, before anything else; nil for one that is the agent already.
func credential(uid, gid int) *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{}} //nolint:gosec // G115: ids
}

// give tells what is staged, and closes the pipe.
func (s *supervisor) give(o order) error {
	data, err := json.Marshal(o)
	if err == nil {
		_, err = s.order.Write(data)
	}
	err = errors.Join(err, s.order.Close())
	s.order = nil
	if err != nil {
		return fmt.Errorf("tell the bottle what it is made of: %w", err)
	}
	return nil
}

// endPatience is how long a supervisor may take to end by itself.
const endPatience = 2 * time.Second

// end ends the bottle: by the end of its streams, and by force when that is not
// enough. The caller's deadline counts for what cannot be forced.
func (s *supervisor) end(ctx context.Context) error {
	if s.order != nil {
		_ = s.order.Close()
	}
	_ = s.guest.Close()
	_ = s.gateway.Close()
	patience := time.NewTimer(endPatience)
	defer patience.Stop()
	select {
	case <-s.ended:
	case <-patience.C:
		_ = s.cmd.Process.Kill()
	case <-ctx.Done():
		_ = s.cmd.Process.Kill()
	}
	select {
	case <-s.ended:
	case <-time.After(2 * endPatience):
		return errors.New("the supervisor does not end")
	}
	_ = s.child.Close()
	if s.inside == nil {
		return nil
	}
	defer func() { _ = s.inside.Close() }()
	// Process 1 has ended when all in its namespace have.
	if err := await(ctx, int(s.inside.Fd())); err != nil {
		return fmt.Errorf("the bottle's processes do not end: %w", err)
	}
	return nil
}

// whoIsInside waits until the supervisor has started what becomes the bottle,
// and says which process that is.
func (s *supervisor) whoIsInside(ctx context.Context) (identity, error) {
	defer context.AfterFunc(ctx, func() { _ = s.child.SetReadDeadline(time.Unix(1, 0)) })()
	var pid int
	if _, err := fmt.Fscanln(s.child, &pid); err != nil {
		if ctx.Err() != nil {
			return identity{}, ctx.Err()
		}
		return identity{}, errors.New("the bottle's namespaces could not be made")
	}
	who, err := identify(pid)
	if err != nil {
		return identity{}, fmt.Errorf("identify the bottle: %w", err)
	}
	fd, err := who.open()
	if err != nil {
		return identity{}, err
	}
	if fd < 0 {
		return identity{}, errors.New("the bottle ended at once")
	}
	s.inside = os.NewFile(uintptr(fd), "bottle")
	return who, nil
}

// said is what the parts of the bottle wrote last, to follow an error.
func (s *supervisor) said() string {
	if text := s.stderr.String(); text != "" {
		return "; its last output: " + text
	}
	return ""
}

// duplex is a stream of two pipes.
type duplex struct {
	io.ReadCloser
	to io.WriteCloser
}

func (d duplex) Write(data []byte) (int, error) { return d.to.Write(data) }
func (d duplex) Close() error                   { return errors.Join(d.to.Close(), d.ReadCloser.Close()) }
