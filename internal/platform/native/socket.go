//go:build linux

package native

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"claude-bottle/internal/runs"
)

// guestSocket is the file, in the run's directory, of the socket by which
// further conversations with a guest begin. It is the launcher's own, and not
// seen inside.
const guestSocket = "guest.sock"

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

// listenForGuest makes the socket and returns its descriptor.
func listenForGuest(dir string) (file *os.File, err error) {
	err = shortPath(dir, guestSocket, func(path string) error {
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		defer func() { _ = listener.Close() }()
		listener.SetUnlinkOnClose(false)
		if err := os.Chmod(filepath.Join(dir, guestSocket), 0o600); err != nil {
			return err
		}
		file, err = listener.File()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen for conversations: %w", err)
	}
	return file, nil
}

// dialGuest begins a conversation with a run's guest.
func (p *Platform) dialGuest(ctx context.Context, run runs.ID) (conn net.Conn, err error) {
	err = shortPath(p.config.Store.Dir(run), guestSocket, func(path string) error {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}
