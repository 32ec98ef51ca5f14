//go:build linux

package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// inputPiece is how much is written to a process at once, and grantStep how
// much has been taken before the launcher hears of it, in bytes.
const (
	inputPiece = 32 << 10
	grantStep  = wire.InputWindow / 4
)

var errWindow = errors.New("more input than was granted")

// input carries a process's standard input from frames to file, so that
// reading frames never waits for the process. It holds at most a window.
type input struct {
	conn     *wire.Conn
	file     *os.File
	terminal bool
	taken    int           // run's: bytes that the process took and the launcher has not heard of
	done     chan struct{} // closed when run has ended
	wake     chan struct{} // a token: what follows has changed

	mu      sync.Mutex // guards what follows
	pending []byte
	held    int // bytes received and not yet granted anew
	eof     bool
	stopped bool
}

// newInput takes ownership of file, but for a terminal's, which its output
// shares.
func newInput(conn *wire.Conn, file *os.File, terminal bool) *input {
	return &input{conn: conn, file: file, terminal: terminal, done: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// push takes what the launcher sent.
func (in *input) push(data []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.held+len(data) > wire.InputWindow || in.eof {
		return fmt.Errorf("%w: %w", wire.ErrProtocol, errWindow)
	}
	in.held += len(data)
	if !in.stopped {
		in.pending = append(in.pending, data...)
	}
	in.awake()
	return nil
}

// end says that no more will be pushed.
func (in *input) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.eof = true
	in.awake()
}

// stop ends run, also in the middle of a write, and waits for it.
func (in *input) stop() {
	in.mu.Lock()
	in.stopped = true
	in.awake()
	in.mu.Unlock()
	_ = in.file.SetWriteDeadline(time.Now())
	<-in.done
}

func (in *input) awake() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// next waits for bytes; nil means that there will be none.
func (in *input) next(spare []byte) []byte {
	for {
		in.mu.Lock()
		pending, eof, stopped := in.pending, in.eof, in.stopped
		if len(pending) > 0 && !stopped {
			in.pending = spare[:0]
		}
		in.mu.Unlock()
		switch {
		case stopped:
			return nil
		case len(pending) > 0:
			return pending
		case eof:
			return nil
		}
		<-in.wake
	}
}

// run writes until the input or the process ends. A process that closed its
// input gets nothing more, and its launcher no grant, so that it stops
// reading its own.
func (in *input) run() {
	defer close(in.done)
	if !in.terminal {
		defer func() { _ = in.file.Close() }()
	}
	var batch []byte
	last := byte('\n')
	for {
		if batch = in.next(batch); batch == nil {
			break
		}
		for piece := batch; len(piece) > 0; {
			n, err := in.file.Write(piece[:min(len(piece), inputPiece)])
			if err != nil {
				return
			}
			last = piece[n-1]
			piece = piece[n:]
			in.grant(n)
		}
	}
	if in.terminal {
		in.endTerminal(last)
	}
}

// grant counts what the process's pipe took, and tells the launcher in steps:
// most input is keystrokes, which need no answer each.
func (in *input) grant(n int) {
	in.taken += n
	if in.taken < grantStep {
		return
	}
	in.mu.Lock()
	in.held -= in.taken
	in.mu.Unlock()
	// An error has closed the connection, which ends the process.
	_ = in.conn.Write(wire.KindWindow, binary.BigEndian.AppendUint32(nil, uint32(in.taken))) //nolint:gosec // G115: at most a window
	in.taken = 0
}

// endTerminal types the end-of-file character, where the terminal has one:
// twice after an unfinished line, since the first then only sends the line.
func (in *input) endTerminal(last byte) {
	in.mu.Lock()
	stopped := in.stopped
	in.mu.Unlock()
	if stopped {
		return
	}
	var settings *unix.Termios
	_ = control(in.file, func(fd int) (err error) {
		settings, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	if settings == nil || settings.Lflag&unix.ICANON == 0 {
		return
	}
	eof := []byte{settings.Cc[unix.VEOF]}
	if last != '\n' {
		eof = append(eof, eof[0])
	}
	_, _ = in.file.Write(eof)
}

// control runs f on the file's descriptor without taking it out of the
// runtime's poller.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
