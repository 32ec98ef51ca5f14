package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// instance is one bottle that runs. One that was launched here holds the
// streams of guest and gateway and the run's lock; one that was opened has
// neither.
type instance struct {
	*platform.Loss
	platform *Platform
	engine   *engine
	id       runs.ID
	name     string
	agentID  string
	// gatewayID is of the gateway's container; empty when it is gone.
	gatewayID string
	pipelock  bool // the gateway is that program
	dialUID   int

	// Of one that was launched here:
	guest    *wire.GuestClient
	boot     *platform.BootStream
	gateway  *wire.GatewayClient
	made     made
	teardown *bottle.Teardown

	stop     context.CancelFunc // ends what watches
	watchers sync.WaitGroup

	// life ends when the guest has, or the bottle was closed, and with it
	// every process that has an exec of the engine's.
	life context.Context
	end  context.CancelCauseFunc

	closing  sync.Once
	closeErr error
}

var _ bottle.Bottle = (*instance)(nil)

func (l *launch) instance() *instance {
	b := newInstance(l.platform, l.engine, l.Run.ID())
	b.name, b.agentID, b.made = l.parts.Names.Agent, l.made.Agent, l.made
	b.pipelock = l.plan.Docker.Pipelock != nil
	b.dialUID = dialUID(l.plan.Spec.UID)
	return b
}

func newInstance(p *Platform, e *engine, id runs.ID) *instance {
	b := &instance{Loss: platform.NewLoss(), platform: p, engine: e, id: id}
	b.life, b.end = context.WithCancelCause(context.Background())
	return b
}

// lastOutput is how long what the processes of a guest that ended have printed
// may be on its way.
const lastOutput = time.Second

// turnLimit is how long a removal waits for others to be through, before the
// bottle.CloseDeadline that it has for itself begins: 64 that begin at once on
// two processors are through within it.
const turnLimit = time.Minute

var errEnded = errors.New("the bottle has ended")

// ends ends b's life, after lastOutput. The streams of its execs end by
// themselves as a rule; engine 20.10 leaves those of gVisor's open for good.
func (b *instance) ends() {
	time.AfterFunc(lastOutput, func() { b.end(errEnded) })
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

// NoteExit has Close write down how the command ends.
func (b *instance) NoteExit(code int) {
	if b.teardown != nil {
		b.teardown.NoteExit(code)
	}
}

// Run is the run's id.
func (b *instance) Run() runs.ID { return b.id }

// Name is the bottle's, and that of the agent's container.
func (b *instance) Name() string { return b.name }

// Exec runs one process. The first takes the boot stream, which costs the
// engine nothing; those beside it have an exec of the engine's each.
func (b *instance) Exec(ctx context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error) {
	return b.Loss.Exec(ctx, b.boot, b.beside, start, streams)
}

func (b *instance) beside(ctx context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error) {
	s, err := b.engine.exec(ctx, b.agentID, strconv.Itoa(b.dialUID), insideBinary, "guest", "dial")
	if err != nil {
		return wire.Exit{}, err
	}
	guest := wire.NewGuestClient(s)
	defer func() { _ = guest.Close() }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.life, func() { cancel(context.Cause(b.life)) })()
	exit, err := guest.Exec(ctx, start, streams)
	if last := s.last(); err != nil && last != "" {
		err = fmt.Errorf("%w (%s)", err, last)
	}
	return exit, err
}

// Control opens a stream to the gateway's control socket, by an exec under a
// user that is neither the gateway's nor the agent's.
func (b *instance) Control(ctx context.Context) (io.ReadWriteCloser, error) {
	if b.pipelock {
		return nil, hint.With(fmt.Errorf("the gateway of %s is pipelock, which takes no orders", b.name),
			"change the manifest and start again, or set gateway: builtin")
	}
	if b.gatewayID == "" {
		return nil, fmt.Errorf("reach the gateway of %s: it is gone", b.name)
	}
	return b.engine.exec(ctx, b.gatewayID, strconv.Itoa(b.dialUID), gatewayBinary, "gateway", "ctl")
}

// Close ends the bottle and removes what it left in the engine.
func (b *instance) Close() error {
	b.closing.Do(func() { b.closeErr = b.close() })
	return b.closeErr
}

func (b *instance) close() error {
	platform.Finish(b.gateway)
	b.unwatch()
	defer b.ends()
	// The deadline of a removal counts from its turn. One that does not come in
	// time, or cannot be had, keeps nothing from being removed.
	waiting, cancel := context.WithTimeout(context.Background(), b.platform.turnLimit)
	defer cancel()
	if release, err := b.platform.config.Store.Turn(waiting); err == nil {
		defer release()
	}
	if b.teardown != nil {
		return b.teardown.Close()
	}
	ctx, stop := context.WithTimeout(context.Background(), bottle.CloseDeadline)
	defer stop()
	return bottle.End(ctx, b.platform.config.Store, b.platform, b.id)
}
