//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/tree"
)

// List finds the store's bottles, those whose ledger is lost included.
func (p *Platform) List(context.Context) ([]bottle.Status, error) {
	objects, err := p.objects().all()
	var found []bottle.Status
	for _, o := range objects {
		found = append(found, bottle.Status{
			Run: o.Run, Name: o.Name, Agent: o.Agent, Started: o.Started, Running: o.Inside.alive(),
		})
	}
	return found, err
}

// Open returns a bottle that another process launched.
func (p *Platform) Open(_ context.Context, run runs.ID) (bottle.Bottle, error) {
	o, err := p.objects().find(run)
	if err != nil {
		return nil, err
	}
	if o == nil || !o.Inside.alive() {
		return nil, hint.With(fmt.Errorf("open run %s: no bottle of it is running", run), "claude-bottle ps")
	}
	return p.opened(*o)
}

// Remove ends a run's processes and removes what else it left. Where the
// bottle's file is lost, the ledger says what that is; its processes, which
// ended with their launcher, are known no more.
func (p *Platform) Remove(ctx context.Context, run runs.ID) error {
	o, err := p.objects().find(run)
	if o == nil {
		return p.removeLost(ctx, run, err)
	}
	if err := o.kill(ctx); err != nil {
		return fmt.Errorf("end bottle %s: %w", o.Name, err)
	}
	_, err = o.recorded(p.config.Store, run)
	if err := errors.Join(err, o.removeLimits(ctx), p.removeSockets(run)); err != nil {
		return err
	}
	return p.objects().remove(*o)
}

// removeLost removes what is left of a run without a bottle's file. unread says
// why some file could not be read: of this run only if its ledger names it.
func (p *Platform) removeLost(ctx context.Context, run runs.ID, unread error) error {
	var lost object
	names, err := lost.recorded(p.config.Store, run)
	if err := errors.Join(err, lost.removeLimits(ctx), p.removeSockets(run), p.objects().removeDraft(run)); err != nil {
		return err
	}
	if unread != nil && len(names) == 0 {
		return unread
	}
	for _, name := range names {
		if err := p.objects().forget(name); err != nil {
			return err
		}
	}
	return nil
}

// removeSockets removes a run's sockets, and what somebody put in their place.
func (p *Platform) removeSockets(run runs.ID) error {
	dir, err := tree.Open(p.config.Store.Dir(run))
	if err != nil {
		return nil //nolint:nilerr // a run without a directory has none
	}
	defer func() { _ = unix.Close(dir) }()
	for _, socket := range []string{guestSocket, controlSocket} {
		if err := tree.Remove(context.Background(), dir, socket); err != nil {
			return err
		}
	}
	return nil
}

// kill ends the supervisor, with which all below it ends, and waits for that.
func (o object) kill(ctx context.Context) error {
	var waiting []int
	defer func() {
		for _, fd := range waiting {
			_ = unix.Close(fd)
		}
	}()
	for _, who := range []identity{o.Supervisor, o.Inside} {
		fd, err := who.open()
		if err != nil {
			return err
		}
		if fd >= 0 {
			waiting = append(waiting, fd)
		}
	}
	for _, fd := range waiting { // the supervisor first; it takes the others along
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	for _, fd := range waiting {
		if err := await(ctx, fd); err != nil {
			return err
		}
	}
	return nil
}
