//go:build linux

package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/supervise"
)

// who is whose supervisor it is.
type who struct {
	run      runs.ID
	record   string // the directory of its record
	uid, gid int
}

// supervisor is a `supervise` as its launcher has it.
type supervisor struct {
	who     who
	cmd     *exec.Cmd
	gateway io.ReadWriteCloser // the gateway's stream, which is the supervisor's life
	guest   io.ReadWriteCloser // the boot stream
	order   *net.UnixConn      // nil once it was given
	child   *os.File           // where the supervisor says which process it started
	inside  *os.File           // a descriptor of that, process 1 of a namespace; nil before it is known
	// Sockets that have no name before listen.
	guestSocket, controlSocket *os.File

	said  *os.File      // the other end of its standard error
	last  tail          // of what came from there
	quiet chan struct{} // closed when it has closed its standard error, and so has all that it started
	ended chan struct{} // closed when it has ended, and with it all that it started
}

// startSupervisor starts the supervisor of a run that need not exist yet. It
// makes nothing before the order comes but its own namespaces, and ends with
// this process.
func startSupervisor(program platform.Program, source string, w who) (*supervisor, error) {
	defer failpoint.Span("native.start-supervisor")()
	gateway, err := openGateway(program, source, w.uid)
	if err != nil {
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	defer closeFiles(gateway)
	s := &supervisor{who: w, quiet: make(chan struct{}), ended: make(chan struct{})}
	theirs, err := s.connect()
	defer theirs.close()
	if err != nil {
		s.disconnect()
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	s.cmd = &exec.Cmd{
		Path: program.Guest, Args: []string{"claude-bottle", supervise.Command, string(w.run), w.record},
		Env: []string{}, Dir: "/", Stdin: theirs.gatewayIn, Stdout: theirs.gatewayOut, Stderr: theirs.stderr,
		ExtraFiles:  []*os.File{theirs.order, theirs.guestIn, theirs.guestOut, theirs.child, s.guestSocket, s.controlSocket, gateway},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: credential(w.uid, w.gid)},
	}
	if err := s.cmd.Start(); err != nil {
		s.disconnect()
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	go s.hear()
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait()
		select {
		case <-s.quiet:
		case <-time.After(endPatience):
			_ = s.said.Close()
			<-s.quiet
		}
	}()
	return s, nil
}

// openGateway opens the program that a supervisor goes on as: the one that runs
// here, or source if that is set, so that both have their pages in common, and
// the installed copy where the file is closed to the bottle's user.
func openGateway(program platform.Program, source string, uid int) (*os.File, error) {
	if source == "" {
		source = "/proc/self/exe"
	}
	file, err := os.OpenFile(source, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (uid == os.Getuid() || info.Mode()&0o001 != 0) {
		return file, nil
	}
	_ = file.Close()
	if err != nil {
		return nil, err
	}
	return os.OpenFile(program.Gateway, unix.O_PATH, 0)
}

// hear reads what the parts of the bottle say, until none can say any more.
func (s *supervisor) hear() {
	defer close(s.quiet)
	_, _ = io.Copy(&s.last, s.said)
	_ = s.said.Close()
}

// far are the supervisor's ends of what it has in common with its launcher.
type far struct{ gatewayIn, gatewayOut, guestIn, guestOut, stderr, child, order *os.File }

func (f far) close() {
	closeFiles(f.gatewayIn, f.gatewayOut, f.guestIn, f.guestOut, f.stderr, f.child, f.order)
}

// connect makes the pipes and sockets, of which it returns the far ends. After
// an error there are those that were made before.
func (s *supervisor) connect() (theirs far, err error) {
	if s.gateway, theirs.gatewayIn, theirs.gatewayOut, err = pipes(); err != nil {
		return theirs, err
	}
	if s.guest, theirs.guestIn, theirs.guestOut, err = pipes(); err != nil {
		return theirs, err
	}
	if s.said, theirs.stderr, err = os.Pipe(); err != nil {
		return theirs, err
	}
	if s.child, theirs.child, err = os.Pipe(); err != nil {
		return theirs, err
	}
	if s.guestSocket, err = newSocket(); err != nil {
		return theirs, err
	}
	if s.controlSocket, err = newSocket(); err != nil {
		return theirs, err
	}
	s.order, theirs.order, err = orderPair()
	return theirs, err
}

// disconnect closes what connect made, of a supervisor that does not run.
func (s *supervisor) disconnect() {
	for _, stream := range []io.Closer{s.gateway, s.guest} {
		if stream != nil {
			_ = stream.Close()
		}
	}
	if s.order != nil {
		_ = s.order.Close()
	}
	closeFiles(s.said, s.child, s.guestSocket, s.controlSocket)
}

// pipes are a stream, and what its other side reads and writes. It is a program
// in Go, which polls what it reads when that does not block: it then has no
// thread in a read, whose processor another would have to wait for.
func pipes() (ours io.ReadWriteCloser, in, out *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, nil, nil, err
	}
	in, to := os.NewFile(uintptr(fds[0]), "in"), os.NewFile(uintptr(fds[1]), "to") //nolint:gosec // G115: descriptors
	from, out, err := os.Pipe()
	if err != nil {
		closeFiles(in, to)
		return nil, nil, nil, err
	}
	return duplex{from, to}, in, out, nil
}

// orderPair is the connection by which an order, and what it takes along, comes
// to `inside`.
func orderPair() (ours *net.UnixConn, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(pair[1]), "order") //nolint:gosec // G115: a descriptor
	end := os.NewFile(uintptr(pair[0]), "order")   //nolint:gosec // G115: a descriptor
	defer closeFiles(end)
	conn, err := net.FileConn(end)
	if err != nil {
		closeFiles(theirs)
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// listen names the sockets, which are from then on the bottle's alone.
func (s *supervisor) listen(dir string) error {
	defer closeFiles(s.guestSocket, s.controlSocket)
	return errors.Join(listenIn(dir, guestSocket, s.guestSocket), listenIn(dir, controlSocket, s.controlSocket))
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

// give tells what the bottle is made of, with the files by which it joins its
// control groups, and closes the connection.
func (s *supervisor) give(o supervise.Order, groups []*os.File) error {
	defer func() {
		_ = s.order.Close()
		s.order = nil
	}()
	data, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("tell the bottle what it is made of: %w", err)
	}
	var rights []byte
	if len(groups) > 0 {
		var fds []int
		for _, file := range groups {
			fds = append(fds, int(file.Fd())) //nolint:gosec // G115: a descriptor
		}
		rights = unix.UnixRights(fds...)
	}
	n, _, err := s.order.WriteMsgUnix(data, rights, nil)
	if err == nil {
		_, err = s.order.Write(data[n:])
	}
	if err != nil {
		return fmt.Errorf("tell the bottle what it is made of: %w", err)
	}
	return nil
}

// endPatience is how long a supervisor may take to end by itself.
const endPatience = 2 * time.Second

// end ends the bottle: by the end of its streams, and by force when that is not
// enough. The caller's deadline counts for what cannot be forced. The supervisor
// has then done all that it does, but may still be there: see gone.
func (s *supervisor) end(ctx context.Context) error {
	if s.order != nil {
		_ = s.order.Close()
	}
	closeFiles(s.guestSocket, s.controlSocket)
	_ = s.guest.Close()
	_ = s.gateway.Close()
	if s.inside != nil { // the guest would do the same, some milliseconds later
		_ = unix.PidfdSendSignal(int(s.inside.Fd()), unix.SIGKILL, nil, 0) //nolint:gosec // G115: a descriptor
	}
	patience := time.NewTimer(endPatience)
	defer patience.Stop()
	select {
	case <-s.quiet:
	case <-s.ended:
	case <-patience.C:
		_ = s.cmd.Process.Kill()
	case <-ctx.Done():
		_ = s.cmd.Process.Kill()
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

// gone waits until there is no supervisor any more, after end: the kernel takes
// longer to take one apart than a launcher to remove what it leaves.
func (s *supervisor) gone() error {
	for _, patience := range []time.Duration{endPatience, 2 * endPatience} {
		select {
		case <-s.ended:
			return nil
		case <-time.After(patience):
			_ = s.cmd.Process.Kill()
		}
	}
	return errors.New("the supervisor does not end")
}

// itself says which process the supervisor is. One that ended at once, as where
// it may make no namespaces, may be gone by now.
func (s *supervisor) itself() (identity, error) {
	who, err := identify(s.cmd.Process.Pid)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		<-s.ended // somebody waited for it already: by then all that it said is read
		return identity{}, errNotMade
	}
	if err != nil {
		return identity{}, fmt.Errorf("identify the supervisor: %w", err)
	}
	return who, nil
}

var errNotMade = errors.New("the bottle's namespaces could not be made")

// whoIsInside waits until the supervisor has started what becomes the bottle,
// and says which process that is.
func (s *supervisor) whoIsInside(ctx context.Context) (identity, error) {
	defer context.AfterFunc(ctx, func() { _ = s.child.SetReadDeadline(time.Unix(1, 0)) })()
	var pid int
	if _, err := fmt.Fscanln(s.child, &pid); err != nil {
		if ctx.Err() != nil {
			return identity{}, ctx.Err()
		}
		return identity{}, errNotMade
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

// lastWords are what the parts of the bottle wrote last, to follow an error.
func (s *supervisor) lastWords() string {
	if text := s.last.String(); text != "" {
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
