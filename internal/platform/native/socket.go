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

// listenIn makes a socket in a run's directory and returns its descriptor.
func listenIn(dir, name string) (file *os.File, err error) {
	err = shortPath(dir, name, func(path string) error {
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		defer func() { _ = listener.Close() }()
		listener.SetUnlinkOnClose(false)
		if err := os.Chmod(filepath.Join(dir, name), 0o600); err != nil {
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

// dialRun connects to a socket in a run's directory.
func (p *Platform) dialRun(ctx context.Context, run runs.ID, name string) (conn net.Conn, err error) {
	err = shortPath(p.config.Store.Dir(run), name, func(path string) error {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}
