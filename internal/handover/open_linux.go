package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// backlog is more than a kernel gives: it takes its own limit (listen(2)).
const backlog = 4096

// Sockets are ways in that were opened and not yet handed over.
type Sockets struct{ fds []int }

// Open opens a socket for each port, in the network namespace of the calling
// process, on an IPv4 address. Ports below 1024 want CAP_NET_BIND_SERVICE or
// net.ipv4.ip_unprivileged_port_start=0.
func Open(address netip.Addr, ports wire.Ports) (*Sockets, error) {
	s := &Sockets{}
	for _, w := range waysOf(ports) {
		fd, err := w.open(address)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("open the way in %s (%s, port %d): %w", w.name, address, w.port, err)
		}
		s.fds = append(s.fds, fd)
	}
	return s, nil
}

// Close closes what was not handed over.
func (s *Sockets) Close() {
	for _, fd := range s.fds {
		_ = unix.Close(fd)
	}
	s.fds = nil
}

func (w way) open(address netip.Addr) (fd int, err error) {
	if !address.Is4() {
		return 0, errors.New("not an IPv4 address")
	}
	kind, protocol := w.kind()
	fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return 0, err
	}
	err = unix.Bind(fd, &unix.SockaddrInet4{Port: w.port, Addr: address.As4()})
	if err == nil && !w.packets() {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func (w way) kind() (kind, protocol int) {
	if w.packets() {
		return unix.SOCK_DGRAM, unix.IPPROTO_UDP
	}
	return unix.SOCK_STREAM, unix.IPPROTO_TCP
}

// Send hands the sockets over and closes them and conn, whatever comes of it:
// from then on the gateway alone has them, and a bottle whose gateway is gone
// finds nobody.
func (s *Sockets) Send(ctx context.Context, conn *net.UnixConn, nonce string) error {
	defer s.Close()
	defer conn.Close()
	if nonce == "" || len(nonce) > maxNonce {
		return fmt.Errorf("hand the ways in over: %w", errNonce)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, _, err := conn.WriteMsgUnix([]byte(nonce), unix.UnixRights(s.fds...), nil); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("hand the ways in over: %w", err)
	}
	return nil
}

// between tries to reach a gateway that does not listen yet.
const between = time.Millisecond

// Dial connects to the socket of a Door and waits until there is one, or ctx
// ends.
func Dial(ctx context.Context, path string) (*net.UnixConn, error) {
	var dialer net.Dialer
	ticker := time.NewTicker(between)
	defer ticker.Stop()
	for {
		conn, err := dialer.DialContext(ctx, network, path)
		if err == nil {
			return conn.(*net.UnixConn), nil
		}
		if ctx.Err() == nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("reach the gateway: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("reach the gateway: %w", context.Cause(ctx))
		case <-ticker.C:
		}
	}
}
