package gateway

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How bulk is moved within the kernel. A conduit is a pipe with room for so many
// bytes, where the system lets it (pipe(7), pipe-user-pages-soft). A tunnel
// holds one as long as more comes within conduitHold.
const (
	conduitSize = 256 << 10
	maxConduits = 64 // at once, of one gateway; more copy
	conduitHold = 50 * time.Millisecond
)

// conduits are those that no transfer uses at the moment, and how many more may
// be made.
type conduits struct {
	idle chan conduit
	more chan struct{}
}

type conduit struct{ r, w int }

func newConduits() *conduits {
	return &conduits{idle: make(chan conduit, maxConduits), more: make(chan struct{}, maxConduits)}
}

// take returns a conduit, false when all are in use or the process has no
// descriptors left.
func (p *conduits) take() (conduit, bool) {
	select {
	case one := <-p.idle:
		return one, true
	default:
	}
	select {
	case p.more <- struct{}{}:
	default:
		return conduit{}, false
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		<-p.more
		return conduit{}, false
	}
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, conduitSize) // it may stay smaller
	return conduit{fds[0], fds[1]}, true
}

// put takes a conduit back; one that still holds bytes is closed, or they would
// reach another tunnel.
func (p *conduits) put(one conduit, empty bool) {
	if empty {
		p.idle <- one // there is room for all
		return
	}
	one.close()
	<-p.more
}

func (p conduit) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

// close closes the idle ones; no transfer is under way any more.
func (p *conduits) close() {
	for {
		select {
		case one := <-p.idle:
			one.close()
		default:
			return
		}
	}
}

// splice moves what src delivers to dst without copying it (splice(2)), as
// long as it keeps coming. It returns nil when src pauses and io.EOF at its end.
// Nothing was moved with errConduits, and with errors.ErrUnsupported, where
// these are no sockets.
func (t *tunnelled) splice(dst, src net.Conn, m meter) (err error) {
	from, into, ok := sockets(src, dst)
	if !ok {
		return errors.ErrUnsupported
	}
	through, ok := t.conduits.take()
	if !ok {
		return errConduits
	}
	left := 0 // bytes in the conduit
	defer func() { t.conduits.put(through, left == 0) }()
	for {
		if err := src.SetReadDeadline(time.Now().Add(conduitHold)); err != nil {
			return err
		}
		left, err = fill(from, through, min(conduitSize, max(m.room(), 1)))
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		case left == 0:
			return io.EOF
		}
		if err := dst.SetWriteDeadline(time.Now().Add(t.idle)); err != nil {
			return err
		}
		if err := m.count(left); err != nil {
			return err
		}
		for left > 0 {
			n, err := drain(into, through, left)
			if err != nil {
				return err
			}
			left -= n
		}
		t.moved()
	}
}

func sockets(src, dst net.Conn) (from, into syscall.RawConn, ok bool) {
	s, sok := src.(*net.TCPConn)
	d, dok := dst.(*net.TCPConn)
	if !sok || !dok {
		return nil, nil, false
	}
	from, serr := s.SyscallConn()
	into, derr := d.SyscallConn()
	return from, into, serr == nil && derr == nil
}

// fill waits for bytes and moves up to so many into an empty conduit.
func fill(from syscall.RawConn, through conduit, size int) (n int, err error) {
	return move(from.Read, func(fd int) (int64, error) {
		return unix.Splice(fd, nil, through.w, nil, size, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	})
}

// drain moves what is in the conduit on, waiting for room.
func drain(into syscall.RawConn, through conduit, left int) (n int, err error) {
	return move(into.Write, func(fd int) (int64, error) {
		return unix.Splice(through.r, nil, fd, nil, left, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	})
}

// move calls once when the socket is ready, until it does not answer EAGAIN.
func move(ready func(func(uintptr) bool) error, once func(fd int) (int64, error)) (int, error) {
	var n int64
	var serr error
	err := ready(func(fd uintptr) bool {
		n, serr = once(int(fd))
		for errors.Is(serr, unix.EINTR) {
			n, serr = once(int(fd))
		}
		return !errors.Is(serr, unix.EAGAIN)
	})
	if err == nil && serr != nil {
		err = os.NewSyscallError("splice", serr)
	}
	if err != nil {
		return 0, err
	}
	return int(n), nil
}
