package docker

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// instance is one bottle that runs. One that was launched here holds the
// streams of guest and gateway and the run's lock; one that was opened has
// neither.
type instance struct {
	platform *Platform
	engine   *engine
	id       runs.ID
	name     string
	agentID  string
	// gatewayID is of the gateway's container; empty when it is gone.
	gatewayID string
	dialUID   int

	// Of one that was launched here:
	guest    *wire.GuestClient
	boot     *platform.BootStream
	gateway  *wire.GatewayClient
	made     made
	teardown *bottle.Teardown

	lost     chan struct{}
	stop     context.CancelFunc // ends what watches
	watchers sync.WaitGroup

	mu     sync.Mutex // guards reason
	reason error

	closing  sync.Once
	closeErr error
}

var _ bottle.Bottle = (*instance)(nil)

func (l *launch) instance() *instance {
	return &instance{
		platform: l.platform, engine: l.engine, id: l.Run.ID(), name: l.parts.Names.Agent, agentID: l.made.Agent,
		dialUID: dialUID(l.plan.Spec.UID), made: l.made, lost: make(chan struct{}),
	}
}

// dialUID is the user that execs of the launcher run under, and that the
// guest accepts by its peer's credentials. It is neither root nor the agent,
// which could otherwise take such a process over.
func dialUID(agent int) int {
	const uid = 65533
	if agent == uid {
		return uid - 1
	}
	return uid
}

// Run is the run's id.
func (b *instance) Run() runs.ID { return b.id }

// Name is the bottle's, and that of the agent's container.
func (b *instance) Name() string { return b.name }

// Lost is closed when gateway or guest have ended, or a limit was passed.
func (b *instance) Lost() <-chan struct{} { return b.lost }

// Err says why the bottle is lost.
func (b *instance) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reason
}

// lose marks the bottle as lost, for the first reason it is given.
func (b *instance) lose(reason error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reason == nil {
		b.reason = reason
		close(b.lost)
	}
}

// Exec runs one process. The first takes the boot stream, which costs the
// engine nothing; those beside it have an exec of the engine's each.
func (b *instance) Exec(ctx context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error) {
	if err := b.Err(); err != nil {
		return wire.Exit{}, err
	}
	exit, err := b.exec(ctx, start, streams)
	if reason := b.Err(); err != nil && reason != nil {
		return exit, reason
	}
	return exit, err
}

func (b *instance) exec(ctx context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error) {
	if b.boot != nil && b.boot.Take() {
		defer b.boot.Give()
		return b.boot.Exec(ctx, start, streams)
	}
	s, err := b.engine.exec(ctx, b.agentID, strconv.Itoa(b.dialUID), insideBinary, "guest", "dial")
	if err != nil {
		return wire.Exit{}, err
	}
	guest := wire.NewGuestClient(s)
	defer func() { _ = guest.Close() }()
	exit, err := guest.Exec(ctx, start, streams)
	if last := s.last(); err != nil && last != "" {
		err = fmt.Errorf("%w (%s)", err, last)
	}
	return exit, err
}

// Control opens a stream to the gateway's control socket, by an exec under a
// user that is neither the gateway's nor the agent's.
func (b *instance) Control(ctx context.Context) (io.ReadWriteCloser, error) {
	if b.gatewayID == "" {
		return nil, fmt.Errorf("reach the gateway of %s: it is gone", b.name)
	}
	return b.engine.exec(ctx, b.gatewayID, strconv.Itoa(b.dialUID), gatewayBinary, "gateway", "ctl")
}

// Close ends the bottle and removes what it left in the engine.
func (b *instance) Close() error {
	b.closing.Do(func() { b.closeErr = b.end() })
	return b.closeErr
}

func (b *instance) end() error {
	b.unwatch()
	if b.teardown != nil {
		return b.teardown.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), bottle.CloseDeadline)
	defer cancel()
	return bottle.End(ctx, b.platform.config.Store, b.platform, b.id)
}
