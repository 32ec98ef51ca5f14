package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"claude-bottle/internal/wire"
)

// turns are a gateway's with the launcher that keeps the login. A refresh token
// is worth something once, so of all runs that have a login one renews it at a
// time, and the others go on with what became of it (TestRenewalTakesTurns).
type turns struct {
	send    func(kind wire.Kind, v any) error
	settled chan struct{} // closed once the launcher takes frames of these kinds
	life    context.Context
	left    context.CancelFunc // ends life, when the launcher is gone

	mu      sync.Mutex // guards waiting
	waiting map[string]chan wire.Turn
}

func newTurns(send func(kind wire.Kind, v any) error) *turns {
	t := &turns{send: send, settled: make(chan struct{}), waiting: map[string]chan wire.Turn{}}
	t.life, t.left = context.WithCancel(context.Background())
	return t
}

// take waits for the turn to renew a login. It has to be given back.
func (t *turns) take(ctx context.Context, name string) (wire.Turn, error) {
	answer := make(chan wire.Turn, 1)
	t.mu.Lock()
	t.waiting[name] = answer
	t.mu.Unlock()
	if err := t.send(wire.KindRenew, wire.Renew{Name: name}); err != nil {
		return wire.Turn{}, errors.New("there is nobody to keep it")
	}
	select {
	case turn := <-answer:
		if turn.Refused != "" {
			return wire.Turn{}, errors.New(turn.Refused)
		}
		return turn, nil
	case <-t.life.Done():
		return wire.Turn{}, errors.New("there is nobody to keep it")
	case <-ctx.Done():
		return wire.Turn{}, ctx.Err()
	}
}

// granted is the launcher's answer.
func (t *turns) granted(f wire.Frame) error {
	var turn wire.Turn
	if err := f.Decode(&turn); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	answer, waits := t.waiting[turn.Name]
	if !waits {
		return fmt.Errorf("%w: a turn that nobody asked for", wire.ErrProtocol)
	}
	delete(t.waiting, turn.Name)
	answer <- turn
	return nil
}

// give ends a turn with what was renewed, if anything was.
func (t *turns) give(name, login string) error {
	return t.send(wire.KindRenewed, wire.Renewed{Name: name, Login: login})
}

// grace is a context for a renewal, which goes on for a while when the gateway
// is told to end, but not without the launcher, to whom its answer has to go.
func (t *turns) grace(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.life, limit)
}
