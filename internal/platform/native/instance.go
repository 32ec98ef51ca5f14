//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
	"claude-bottle/internal/workspace"
)

// instance is one bottle that runs. One that was launched here holds the
// streams of gateway and guest and the run's lock; one that was opened has
// neither.
type instance struct {
	*platform.Loss
	platform *Platform
	id       runs.ID
	name     string

	// Of one that was launched here:
	parts    *supervisor
	gateway  *wire.GatewayClient
	guest    *wire.GuestClient
	boot     *platform.BootStream
	teardown *bottle.Teardown

	stop     context.CancelFunc // ends what watches
	watchers sync.WaitGroup

	closing  sync.Once
	closeErr error
}

var _ bottle.Bottle = (*instance)(nil)

func (l *launch) instance() *instance {
	guest := wire.NewGuestClient(l.parts.guest)
	return &instance{
		Loss: platform.NewLoss(), platform: l.platform, id: l.Run.ID(), name: l.object.Name, parts: l.parts,
		gateway: wire.NewGatewayClient(l.parts.gateway), guest: guest, boot: platform.NewBootStream(guest),
	}
}

// NoteExit has Close write down how the command ends.
func (b *instance) NoteExit(code int) {
	if b.teardown != nil {
		b.teardown.NoteExit(code)
	}
}

// Run is the run's id.
func (b *instance) Run() runs.ID { return b.id }

// Name is the bottle's.
func (b *instance) Name() string { return b.name }

// Control opens a stream to the gateway's control socket.
func (b *instance) Control(ctx context.Context) (io.ReadWriteCloser, error) {
	conn, err := b.platform.dialRun(ctx, b.id, controlSocket)
	if err != nil {
		return nil, fmt.Errorf("reach the gateway of %s: %w", b.name, err)
	}
	return conn, nil
}

// Exec runs one process. The first takes the boot stream; those beside it have
// a conversation of their own each.
func (b *instance) Exec(ctx context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error) {
	return b.Loss.Exec(ctx, b.boot, b.beside, start, streams)
}

func (b *instance) beside(ctx context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error) {
	conn, err := b.platform.dialRun(ctx, b.id, guestSocket)
	if err != nil {
		return wire.Exit{}, fmt.Errorf("reach bottle %s: %w", b.name, err)
	}
	guest := wire.NewGuestClient(conn)
	defer func() { _ = guest.Close() }()
	return guest.Exec(ctx, start, streams)
}

// together is how long after the guest the supervisor, which takes it along,
// may be seen to end.
const together = 100 * time.Millisecond

// watch notices when the bottle is lost, until it is closed.
func (b *instance) watch(limit int64, at paths) {
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	gatewayEnded := make(chan struct{})
	b.watchers.Go(func() {
		said := b.gateway.Wait()
		close(gatewayEnded)
		if ctx.Err() == nil {
			b.Lose(b.ended("gateway", said))
		}
	})
	b.watchers.Go(func() {
		<-b.guest.Done()
		timer := time.NewTimer(together)
		defer timer.Stop()
		select {
		case <-gatewayEnded: // which the guest never outlives
			return
		case <-timer.C:
		case <-ctx.Done():
		}
		if ctx.Err() == nil {
			b.Lose(b.ended("guest", b.guest.Said()))
		}
	})
	if limit > 0 {
		b.watchers.Go(func() {
			disk := platform.Disk{Limit: limit, Free: platform.FreeIn(at.Work), Measure: func(ctx context.Context, most int64) (workspace.Measure, error) {
				return workspace.UsageUpTo(ctx, most, at.Work, at.Git, at.Home)
			}}
			if reason := disk.Watch(ctx); reason != nil {
				b.Lose(reason)
				_ = b.parts.cmd.Process.Kill()
			}
		})
	}
}

// unwatch ends the watching; from then on nothing makes the bottle lost.
func (b *instance) unwatch() { b.stop() }

// ended says why a part of the bottle ended: what it said itself, with its last
// output.
func (b *instance) ended(part string, said error) error {
	if said != nil {
		return fmt.Errorf("the bottle's %s ended: %w%s", part, said, b.parts.lastWords())
	}
	return fmt.Errorf("the bottle's %s ended%s", part, b.parts.lastWords())
}

// opened is a bottle that another process launched.
func (p *Platform) opened(o object) (*instance, error) {
	ctx, stop := context.WithCancel(context.Background())
	b := &instance{Loss: platform.NewLoss(), platform: p, id: o.Run, name: o.Name, stop: stop}
	fd, err := o.Inside.open()
	if err != nil {
		stop()
		return nil, err
	}
	if fd < 0 {
		stop()
		return nil, fmt.Errorf("open run %s: its bottle has just ended", o.Run)
	}
	process := os.NewFile(uintptr(fd), "guest")
	b.watchers.Go(func() {
		defer func() { _ = process.Close() }()
		if await(ctx, int(process.Fd())) == nil {
			b.Lose(fmt.Errorf("the bottle's guest ended"))
		}
	})
	return b, nil
}

// Close ends the bottle and removes what it left.
func (b *instance) Close() error {
	b.closing.Do(func() { b.closeErr = b.end() })
	return b.closeErr
}

func (b *instance) end() error {
	platform.Finish(b.gateway)
	b.unwatch()
	if b.teardown != nil {
		err := b.teardown.Close()
		return errors.Join(err, b.parts.gone())
	}
	ctx, cancel := context.WithTimeout(context.Background(), bottle.CloseDeadline)
	defer cancel()
	return bottle.End(ctx, b.platform.config.Store, b.platform, b.id)
}
