package platform

import (
	"context"
	"os"
	"sync"
	"time"

	"claude-bottle/internal/wire"
)

// BootStream is the conversation with a guest that its launcher has from the
// start. It carries one process at a time, and its end is the bottle's.
type BootStream struct {
	guest *wire.GuestClient
	busy  sync.Mutex
}

// NewBootStream is the stream of a guest that was booted.
func NewBootStream(guest *wire.GuestClient) *BootStream { return &BootStream{guest: guest} }

// Take says whether the stream is free, and takes it if so. Give gives it back.
func (s *BootStream) Take() bool { return s.busy.TryLock() }

// Give gives the stream back.
func (s *BootStream) Give() { s.busy.Unlock() }

// killPatience is how long a killed process may take to be reported dead.
const killPatience = 5 * time.Second

// Exec runs a process over the stream, which the caller has taken. The end of
// the stream would be the end of the bottle, so when ctx ends the process is
// killed instead.
func (s *BootStream) Exec(ctx context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error) {
	signals := make(chan os.Signal)
	given := streams.Signals
	streams.Signals = signals
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var forwarding sync.WaitGroup
	defer forwarding.Wait()
	defer cancel()
	forwarding.Go(func() { forward(detached, ctx, given, signals, cancel) })
	exit, err := s.guest.Exec(detached, start, streams)
	if ctx.Err() != nil {
		return exit, ctx.Err()
	}
	return exit, err
}

// forward passes signals on until the process has ended; at the end of the
// caller's context it kills the process, and if that does not help, ends its
// stream.
func forward(running, caller context.Context, from <-chan os.Signal, to chan<- os.Signal, end context.CancelFunc) {
	cancelled := caller.Done()
	var overdue <-chan time.Time
	for {
		var signal os.Signal
		select {
		case <-running.Done():
			return
		case <-overdue:
			end()
			return
		case <-cancelled:
			cancelled, signal = nil, os.Kill
			overdue = time.After(killPatience)
		case received, open := <-from:
			if !open {
				from = nil
				continue
			}
			signal = received
		}
		select {
		case to <- signal:
		case <-running.Done():
			return
		case <-overdue:
			end()
			return
		}
	}
}
