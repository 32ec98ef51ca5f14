//go:build linux

package native

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/runs"
)

// guestSocket is the file, in the run's directory, of the socket by which
// further conversations with a guest begin. It is the launcher's own, and not
// seen inside.
const guestSocket = "guest.sock"

// controlSocket is the same for the gateway's control stream.
const controlSocket = "control.sock"

// shortPath calls use with a path to a file in dir that fits into an address
// (unix(7): 108 bytes), whatever dir's own path is.
func shortPath(dir, name string, use func(path string) error) error {
	opened, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	return use(fmt.Sprintf("/proc/self/fd/%d/%s", opened.Fd(), name))
}

// newSocket makes a socket that has no name yet. Whoever inherits it has the
// same one, also when listenIn has named it.
func newSocket() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil //nolint:gosec // G115: a descriptor
}

// backlog is how many may wait to be accepted.
const backlog = 128

// listenIn gives a socket its name in a run's directory.
func listenIn(dir, name string, socket *os.File) error {
	fd := int(socket.Fd()) //nolint:gosec // G115: a descriptor
	err := shortPath(dir, name, func(path string) error { return unix.Bind(fd, &unix.SockaddrUnix{Name: path}) })
	if err == nil {
		err = os.Chmod(filepath.Join(dir, name), 0o600)
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		return fmt.Errorf("listen for conversations: %w", err)
	}
	return nil
}

// dialRun connects to a socket in a run's directory.
func (p *Platform) dialRun(ctx context.Context, run runs.ID, name string) (conn net.Conn, err error) {
	err = shortPath(p.config.Store.Dir(run), name, func(path string) error {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}
