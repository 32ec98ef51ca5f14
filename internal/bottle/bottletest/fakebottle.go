//go:build linux

package bottletest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// fakeBottle is a running bottle, launched or opened.
type fakeBottle struct {
	engine engine
	run    runs.ID
	name   string
	inside *process               // nil for an opened one
	lost   func() <-chan struct{} // for an opened one
	close  func() error

	mu sync.Mutex // one process at a time on the boot stream
}

func (f *Fake) opened(o object) (bottle.Bottle, error) {
	fd, err := unix.PidfdOpen(o.PID, 0)
	if err != nil {
		return nil, fmt.Errorf("open bottle %s: %w", o.Name, err)
	}
	process := os.NewFile(uintptr(fd), "process")
	closing := sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), bottle.CloseDeadline)
		defer cancel()
		return bottle.End(ctx, f.store, f, o.Run)
	})
	// Watched only when somebody asks: an opened bottle is often not closed.
	lost := sync.OnceValue(func() <-chan struct{} { return watch(process) })
	return &fakeBottle{engine: f.engine, run: o.Run, name: o.Name, lost: lost, close: closing}, nil
}

func (b *fakeBottle) Run() runs.ID { return b.run }
func (b *fakeBottle) Name() string { return b.name }

// Exec runs what gets the secrets over the boot stream, and all else over a
// conversation of its own.
func (b *fakeBottle) Exec(ctx context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error) {
	if start.Secrets && b.inside != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.inside.guest.Exec(ctx, start, streams)
	}
	conn, err := b.engine.dial(ctx, b.name)
	if err != nil {
		return wire.Exit{}, fmt.Errorf("reach bottle %s: %w", b.name, err)
	}
	client := wire.NewGuestClient(conn)
	defer func() { _ = client.Close() }()
	return client.Exec(ctx, start, streams)
}

// Control reaches whatever gateway a test has put beside the run.
func (b *fakeBottle) Control(ctx context.Context) (io.ReadWriteCloser, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", b.engine.control(b.name))
	if err != nil {
		return nil, fmt.Errorf("reach the gateway of %s: %w", b.name, err)
	}
	return conn, nil
}

func (b *fakeBottle) Lost() <-chan struct{} {
	if b.inside == nil {
		return b.lost()
	}
	return b.inside.ended
}

func (b *fakeBottle) Err() error {
	select {
	case <-b.Lost():
	default:
		return nil
	}
	if b.inside == nil {
		return errors.New("the guest ended")
	}
	return fmt.Errorf("the guest ended (%v)%s", b.inside.cmd.ProcessState, b.inside.said())
}

func (b *fakeBottle) Close() error { return b.close() }

// watch returns a channel that closes when the process, which it takes over,
// has ended.
func watch(process *os.File) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { _ = process.Close() }()
		poll := []unix.PollFd{{Fd: int32(process.Fd()), Events: unix.POLLIN}} //nolint:gosec // G115: a descriptor
		for {
			if n, err := unix.Poll(poll, -1); n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return ended
}
