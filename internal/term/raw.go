package term

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"claude-bottle/internal/wire"
)

// Mode is a terminal's own settings, kept while others are in force.
type Mode struct {
	restore func() error
	once    sync.Once
	err     error
}

// Raw puts the terminal of in into raw mode: every key, Ctrl-C too, is a byte
// for whoever reads. Defer Restore at once, so that it runs on a panic too;
// signals that end the process must be caught by the caller. For a stream
// that is no terminal it does nothing.
func Raw(in any) (*Mode, error) {
	file, ok := fileOf(in)
	if !ok || !IsTerminal(in) {
		return &Mode{restore: func() error { return nil }}, nil
	}
	var before *term.State
	err := onDescriptor(file, func(fd int) (err error) {
		before, err = term.MakeRaw(fd)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("set up the terminal: %w", err)
	}
	return &Mode{restore: func() error {
		return onDescriptor(file, func(fd int) error { return term.Restore(fd, before) })
	}}, nil
}

// Restore brings the settings back. It may be called more than once, from
// any goroutine.
func (m *Mode) Restore() error {
	m.once.Do(func() {
		if err := m.restore(); err != nil {
			m.err = fmt.Errorf("restore the terminal: %w", err)
		}
	})
	return m.err
}

// SizeOf is the size of a terminal; the zero Size for anything else.
func SizeOf(stream any) wire.Size {
	file, ok := fileOf(stream)
	if !ok {
		return wire.Size{}
	}
	var size wire.Size
	_ = onDescriptor(file, func(fd int) error { // of what is no terminal: zero
		winsize, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil {
			size = wire.Size{Rows: winsize.Row, Cols: winsize.Col}
		}
		return err
	})
	return size
}

// Sizes tells of every change of a terminal's size until ctx ends. When
// nobody listens, only the last counts.
func Sizes(ctx context.Context, stream any) <-chan wire.Size {
	sizes := make(chan wire.Size)
	if !IsTerminal(stream) {
		return sizes
	}
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	last := SizeOf(stream)
	go func() {
		defer signal.Stop(changed)
		var send chan<- wire.Size // nil while there is nothing to tell
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				if size := SizeOf(stream); size != last || send != nil {
					last, send = size, sizes
				}
			case send <- last:
				send = nil
			}
		}
	}()
	return sizes
}
