package docker

import (
	"context"

	"github.com/moby/moby/client"

	"claude-bottle/internal/platform"
	"claude-bottle/internal/workspace"
)

// watchDisk stops the bottle when its work, git, home and writable layer
// together pass limit bytes. Engines cannot be relied on to bound a layer, and
// know nothing of directories that are mounted.
func (b *instance) watchDisk(ctx context.Context, limit int64, paths paths) {
	reason := platform.WatchDisk(ctx, limit, func(ctx context.Context) (workspace.Measure, error) { return b.diskUsage(ctx, paths) })
	if reason == nil {
		return
	}
	b.Lose(reason)
	_ = b.engine.killContainer(ctx, b.agentID) // its next chance is Close
}

// diskUsage is that of the trees and of the container's writable layer.
func (b *instance) diskUsage(ctx context.Context, paths paths) (workspace.Measure, error) {
	result, err := ask(ctx, "container-size", callLimit, func(ctx context.Context) (client.ContainerInspectResult, error) {
		return b.engine.ContainerInspect(ctx, b.agentID, client.ContainerInspectOptions{Size: true})
	})
	if err != nil {
		return workspace.Measure{}, err
	}
	measured, err := workspace.Usage(ctx, paths.Work, paths.Git, paths.Home)
	if layer := result.Container.SizeRw; layer != nil {
		measured.Bytes += *layer
	}
	return measured, err
}

func (e *engine) killContainer(ctx context.Context, id string) error {
	_, err := ask(ctx, "container-kill", callLimit, func(ctx context.Context) (client.ContainerKillResult, error) {
		return e.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"})
	})
	return err
}
