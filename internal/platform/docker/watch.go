package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// watch notices when the bottle is lost, until it is closed. It is for a
// bottle launched here, whose streams end with guest and gateway.
func (b *instance) watch(limit int64, paths paths) {
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.watchers.Go(func() {
		said := b.gateway.Wait()
		if ctx.Err() == nil {
			b.Lose(b.ended(ctx, "gateway", b.made.Gateway, said, b.made.gateway))
		}
	})
	b.watchers.Go(func() {
		<-b.guest.Done()
		b.ends()
		if ctx.Err() == nil {
			b.Lose(b.ended(ctx, "guest", b.made.Agent, b.guest.Said(), b.made.agent))
		}
	})
	if limit > 0 {
		b.watchers.Go(func() { b.watchDisk(ctx, limit, paths) })
	}
}

// unwatch ends the watching; from then on nothing makes the bottle lost.
func (b *instance) unwatch() {
	b.stop()
}

// inspectLimit bounds the question of why a container ended.
const inspectLimit = 2 * time.Second

// ended says why a part of the bottle ended: what it said itself, else what
// the engine knows, with its last output.
func (b *instance) ended(ctx context.Context, part, id string, said error, s *stream) error {
	reason := errors.New("its stream ended")
	result, err := ask(ctx, "inspect-ended", inspectLimit, func(ctx context.Context) (client.ContainerInspectResult, error) {
		return b.engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	})
	switch state := result.Container.State; {
	case said != nil:
		reason = said
	case unreachable(err):
		reason = errors.New("the engine is gone")
	case notFound(err):
		reason = errors.New("its container was removed")
	case err == nil && state != nil && state.OOMKilled:
		reason = errors.New("it ran out of memory")
	case err == nil && state != nil && !state.Running:
		reason = fmt.Errorf("it exited with code %d", state.ExitCode)
	}
	err = fmt.Errorf("the bottle's %s ended: %w", part, reason)
	if last := s.last(); last != "" {
		err = fmt.Errorf("%w; its last output: %s", err, last)
	}
	return err
}

// watchOpened is watch for a bottle whose streams another process holds: the
// engine is asked to tell when a container ends.
func (b *instance) watchOpened(parts map[string]string) {
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	for part, id := range parts {
		b.watchers.Go(func() {
			waiting := b.engine.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
			var reason error
			select {
			case result := <-waiting.Result:
				reason = fmt.Errorf("it exited with code %d", result.StatusCode)
			case err := <-waiting.Error:
				reason = trimDaemon(err)
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				return
			}
			b.Lose(fmt.Errorf("the bottle's %s ended: %w", part, reason))
			if part == "guest" {
				b.ends()
			}
		})
	}
}
