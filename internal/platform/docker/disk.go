package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/moby/client"

	"claude-bottle/internal/workspace"
)

// How often a bottle's disk is measured: at least diskPause apart, and so that
// measuring takes a tenth of the time at most, however large the trees are.
const (
	diskPause = 2 * time.Second
	diskShare = 10
)

// watchDisk stops the bottle when its work, git, home and writable layer
// together pass limit bytes. Engines cannot be relied on to bound a layer, and
// know nothing of directories that are mounted.
func (b *instance) watchDisk(ctx context.Context, limit int64, paths paths) {
	pause := diskPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.lost:
			return
		case <-time.After(pause):
		}
		start := time.Now()
		used, err := b.diskUsage(ctx, paths)
		if ctx.Err() != nil {
			return
		}
		pause = max(diskPause, diskShare*time.Since(start))
		// A tree that nobody can measure is one that was made to be so.
		if err == nil && used <= limit {
			continue
		}
		reason := fmt.Errorf("the bottle was stopped: it used %d bytes of disk, its limit is %d", used, limit)
		if err != nil {
			reason = fmt.Errorf("the bottle was stopped: its disk use cannot be measured: %w", err)
		}
		b.lose(reason)
		if err := b.engine.killContainer(ctx, b.agentID); err != nil && ctx.Err() == nil {
			continue // its next chance is Close
		}
		return
	}
}

// diskUsage is in bytes.
func (b *instance) diskUsage(ctx context.Context, paths paths) (int64, error) {
	result, err := ask(ctx, "container-size", callLimit, func(ctx context.Context) (client.ContainerInspectResult, error) {
		return b.engine.ContainerInspect(ctx, b.agentID, client.ContainerInspectOptions{Size: true})
	})
	if err != nil {
		return 0, err
	}
	measured, err := workspace.Usage(ctx, paths.Work, paths.Git, paths.Home)
	if layer := result.Container.SizeRw; layer != nil {
		measured.Bytes += *layer
	}
	return measured.Bytes, err
}

func (e *engine) killContainer(ctx context.Context, id string) error {
	_, err := ask(ctx, "container-kill", callLimit, func(ctx context.Context) (client.ContainerKillResult, error) {
		return e.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"})
	})
	return err
}
