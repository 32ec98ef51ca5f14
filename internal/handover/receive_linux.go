package handover

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// network keeps messages whole, with their descriptors (SOCK_SEQPACKET).
const network = "unixpacket"

// Door is where a gateway waits for the one handover of its life.
type Door struct{ listener *net.UnixListener }

// Listen makes a Door's socket. The path must be new and shorter than 108
// bytes (unix(7)).
func Listen(path string) (*Door, error) {
	listener, err := net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})
	if err != nil {
		return nil, fmt.Errorf("listen for the ways in: %w", err)
	}
	listener.SetUnlinkOnClose(true)
	return &Door{listener}, nil
}

// Close closes the door and unlinks its socket.
func (d *Door) Close() error { return d.listener.Close() }

// Receive takes the first connection, whoever's it is, closes the door for
// good, and then receives.
func (d *Door) Receive(ctx context.Context, want Want) (*Set, error) {
	conn, err := d.accept(ctx)
	if err != nil {
		return nil, fmt.Errorf("receive the ways in: %w", err)
	}
	return Receive(ctx, conn, want)
}

func (d *Door) accept(ctx context.Context) (*net.UnixConn, error) {
	stop := context.AfterFunc(ctx, func() { _ = d.listener.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, err := d.listener.AcceptUnix()
	if closed := d.listener.Close(); err == nil && closed != nil {
		err = closed
		_ = conn.Close()
	}
	if ctx.Err() != nil {
		if err == nil {
			_ = conn.Close()
		}
		return nil, context.Cause(ctx)
	}
	return conn, err
}

// Receive takes the ways in from the peer of conn, which it closes.
func Receive(ctx context.Context, conn *net.UnixConn, want Want) (*Set, error) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	set, err := receive(conn, want)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("receive the ways in: %w", err)
	}
	return set, nil
}

func receive(conn *net.UnixConn, want Want) (*Set, error) {
	if want.Nonce == "" || len(want.Nonce) > maxNonce {
		return nil, errNonce
	}
	if err := checkPeer(conn, want.UID); err != nil {
		return nil, err
	}
	ways := waysOf(want.Ports)
	files, err := readMessage(conn, want.Nonce, len(ways))
	defer closeAll(files) // a set has descriptors of its own
	if err != nil {
		return nil, err
	}
	set := &Set{}
	for i, w := range ways {
		if err = w.check(int(files[i].Fd()), want.Address); err == nil {
			err = set.add(w, files[i])
		}
		if err != nil {
			_ = set.Close()
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return set, nil
}

// readMessage reads the one message that may come, up to the end of the
// connection. What came with it is the caller's to close, also after an error.
func readMessage(conn *net.UnixConn, nonce string, count int) ([]*os.File, error) {
	said := make([]byte, maxNonce+1)
	// Room for one more than is wanted, so that one too many is seen. What has
	// no room the kernel closes, and says so by a flag.
	control := make([]byte, unix.CmsgSpace((count+1)*4))
	n, controls, flags, _, err := conn.ReadMsgUnix(said, control)
	files, unreadable := descriptors(control[:controls])
	switch {
	case err != nil:
	case unreadable != nil:
		err = unreadable
	case flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0:
		err = errors.New("a message that is too long")
	case subtle.ConstantTimeCompare(said[:n], []byte(nonce)) != 1:
		err = errors.New("the nonce is another")
	case len(files) != count:
		err = fmt.Errorf("%d descriptors instead of %d", len(files), count)
	default:
		err = ended(conn)
	}
	return files, err
}

// descriptors of a message's control part, which are the caller's to close,
// also after an error.
func descriptors(control []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	for i := range messages {
		fds, refused := unix.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "handed over")) //nolint:gosec // G115: not negative
		}
		if refused != nil {
			err = refused
		}
	}
	return files, err
}

// ended waits for the end of the connection: there is no second message.
func ended(conn *net.UnixConn) error {
	var one [1]byte
	control := make([]byte, unix.CmsgSpace(4))
	n, controls, _, _, err := conn.ReadMsgUnix(one[:], control)
	more, _ := descriptors(control[:controls])
	closeAll(more)
	switch {
	case n > 0 || controls > 0:
		return errors.New("more than one message")
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// checkPeer asks the kernel who connected.
func checkPeer(conn *net.UnixConn, uid int) error {
	peer, err := wire.PeerUID(conn)
	if err == nil && peer != uid {
		err = fmt.Errorf("the peer has uid %d", peer)
	}
	return err
}

// check says what a descriptor is not.
func (w way) check(fd int, address netip.Addr) error {
	kind, protocol := w.kind()
	listening := 1
	if w.packets() {
		listening = 0
	}
	for _, option := range []struct {
		name         string
		option, want int
	}{
		{"family", unix.SO_DOMAIN, unix.AF_INET},
		{"type", unix.SO_TYPE, kind},
		{"protocol", unix.SO_PROTOCOL, protocol},
		{"listening", unix.SO_ACCEPTCONN, listening},
	} {
		value, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option.option)
		if err != nil {
			return err // ENOTSOCK among others
		}
		if value != option.want {
			return fmt.Errorf("a socket whose %s is %d, not %d", option.name, value, option.want)
		}
	}
	if _, err := unix.Getpeername(fd); !errors.Is(err, unix.ENOTCONN) {
		return errors.New("a socket that is connected")
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	at, ok := name.(*unix.SockaddrInet4)
	if !ok || at.Port != w.port || netip.AddrFrom4(at.Addr) != address {
		return errors.New("a socket that is bound elsewhere")
	}
	return nil
}

// add makes a way of a descriptor, which stays the caller's.
func (s *Set) add(w way, fd *os.File) (err error) {
	if w.packets() {
		s.Packets, err = net.FilePacketConn(fd)
		return err
	}
	*w.in(s), err = net.FileListener(fd)
	return err
}

func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}
