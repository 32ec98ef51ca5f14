//go:build linux

package bottletest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/runs"
)

// engine is what a Fake has in place of a container engine: a directory with
// one file and one socket for each bottle, under the bottle's name.
type engine struct{ dir string }

// object is one bottle's file.
type object struct {
	Run     runs.ID   `json:"run"`
	Name    string    `json:"name"`
	Agent   string    `json:"agent"`
	Started time.Time `json:"started"`
	PID     int       `json:"pid"` // of its process 1, as the host sees it; 0 before that
}

func (e engine) path(name string) string { return filepath.Join(e.dir, name+".json") }

// control is the socket of a gateway that a test has put beside a bottle.
func (e engine) control(name string) string { return filepath.Join(e.dir, name+".ctl") }

func (e engine) has(name string) bool {
	_, err := os.Lstat(e.path(name))
	return err == nil
}

// create takes the object's name; os.ErrExist says that it is taken.
func (e engine) create(o object) error {
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return err
	}
	// Linked into place as a whole, so that nobody reads half of it.
	draft := e.path(".new-" + string(o.Run))
	if err := writeObject(draft, o); err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft) }()
	return os.Link(draft, e.path(o.Name))
}

// update replaces an object that exists.
func (e engine) update(o object) error {
	draft := e.path(".new-" + string(o.Run))
	if err := writeObject(draft, o); err != nil {
		return err
	}
	return os.Rename(draft, e.path(o.Name))
}

func writeObject(path string, o object) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func (e engine) remove(o object) error {
	var errs []error
	for _, path := range []string{e.socket(o.Name), e.path(o.Name)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (e engine) objects() ([]object, error) {
	entries, err := os.ReadDir(e.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []object
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		data, readErr := os.ReadFile(e.path(name))
		if errors.Is(readErr, fs.ErrNotExist) {
			continue
		}
		var o object
		if readErr == nil {
			readErr = json.Unmarshal(data, &o)
		}
		if readErr != nil {
			err = errors.Join(err, readErr)
			continue
		}
		found = append(found, o)
	}
	return found, err
}

// find returns the run's object; nil when it has none.
func (e engine) find(run runs.ID) (*object, error) {
	objects, err := e.objects()
	for _, o := range objects {
		if o.Run == run {
			return &o, nil
		}
	}
	return nil, err
}

// alive says whether the process is there and is this bottle's, and not one
// that was given its number later.
func (o object) alive() bool {
	if o.PID == 0 {
		return false
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", o.PID))
	return err == nil && strings.HasPrefix(string(data), insideName+"\x00") && strings.Contains(string(data), string(o.Run))
}

// kill ends the bottle's process 1, and with it all inside, and waits until it
// is gone.
func (o object) kill(ctx context.Context) error {
	if o.PID == 0 {
		return nil // it ends with its launcher's pipe
	}
	fd, err := unix.PidfdOpen(o.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end bottle %s: %w", o.Name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if !o.alive() { // after the open: what the descriptor means does not change
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end bottle %s: %w", o.Name, err)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // G115: a descriptor
	for ctx.Err() == nil {
		if n, err := unix.Poll(poll, 100); err != nil && !errors.Is(err, unix.EINTR) || n > 0 {
			return err
		}
	}
	return fmt.Errorf("end bottle %s: %w", o.Name, ctx.Err())
}

// socket is where further conversations with a bottle begin.
func (e engine) socket(name string) string { return filepath.Join(e.dir, name+".sock") }

// shortPath calls use with a path to the object's socket that fits into an
// address (unix(7): 108 bytes), whatever the directory's own is.
func (e engine) shortPath(name string, use func(path string) error) error {
	dir, err := os.Open(e.dir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return use(fmt.Sprintf("/proc/self/fd/%d/%s.sock", dir.Fd(), name))
}

func (e engine) listen(name string) (listener *net.UnixListener, err error) {
	err = e.shortPath(name, func(path string) error {
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if listener != nil {
		listener.SetUnlinkOnClose(false)
	}
	return listener, err
}

func (e engine) dial(ctx context.Context, name string) (conn net.Conn, err error) {
	err = e.shortPath(name, func(path string) error {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}
