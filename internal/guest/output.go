//go:build linux

package guest

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// linger is how long output is carried on after a process's death when
// something it left behind still holds it open.
const linger = 200 * time.Millisecond

// terminalBuffer is more than the kernel holds of a terminal's output, which
// it cannot be asked for: a part is not yet with the line discipline.
const terminalBuffer = 128 << 10

// output carries what a process prints from file to frames.
type output struct {
	conn     *wire.Conn
	kind     wire.Kind
	file     *os.File
	terminal bool
	carried  chan struct{} // closed when no frame of it will come any more
}

// newOutput takes ownership of file.
func newOutput(conn *wire.Conn, kind wire.Kind, file *os.File, terminal bool) *output {
	return &output{conn, kind, file, terminal, make(chan struct{})}
}

// run carries until all who may print have closed their end, or finish was
// called and what was printed by then is sent. What is printed later is read
// and dropped, so that a server left in the background does not die of
// SIGPIPE at its next line of log.
func (o *output) run() {
	defer func() { _ = o.file.Close() }()
	open := o.carry()
	close(o.carried)
	for open {
		_ = o.file.SetReadDeadline(time.Time{})
		_, err := io.Copy(io.Discard, o.file)
		open = errors.Is(err, os.ErrDeadlineExceeded) // finish was late
	}
}

// carry returns true when somebody may still print.
func (o *output) carry() bool {
	buf := make([]byte, wire.MaxData)
	for {
		n, err := o.read(buf)
		if n > 0 && o.conn.Write(o.kind, buf[:n]) != nil {
			return true // the launcher is gone, the process will be
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return o.rest(buf)
		}
		if err != nil {
			return false
		}
	}
}

// read is the file's, but for a terminal whose other end was closed: that is
// EIO, which the kernel also says when the last bytes and the close come
// together while it looks for the first (n_tty_read of Linux 6). The bytes are
// there when it is asked again.
func (o *output) read(buf []byte) (int, error) {
	n, err := o.file.Read(buf)
	if o.terminal && errors.Is(err, unix.EIO) {
		n, err = o.file.Read(buf)
	}
	return n, err
}

// rest sends what was printed up to this moment and no more: bytes from
// before the process's death may still be there, when the launcher is slower
// than the process was, and something left behind may print without end.
func (o *output) rest(buf []byte) bool {
	owed := terminalBuffer
	if !o.terminal {
		_ = control(o.file, func(fd int) (err error) {
			owed, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
			return err
		})
	}
	for owed > 0 {
		_ = o.file.SetReadDeadline(time.Now().Add(linger / 10))
		n, err := o.read(buf[:min(len(buf), owed)])
		owed -= n
		if n > 0 && o.conn.Write(o.kind, buf[:n]) != nil {
			return true
		}
		if err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
	return true
}

// finish is called after the process's death. It returns once everything the
// process printed has been sent.
func (o *output) finish() {
	_ = o.file.SetReadDeadline(time.Now().Add(linger))
	<-o.carried
}

// refuse makes the process notice that nobody reads.
func (o *output) refuse() { _ = o.file.Close() }
