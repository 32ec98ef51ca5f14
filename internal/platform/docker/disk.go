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
	disk := platform.Disk{
		Limit:   limit,
		Measure: func(ctx context.Context, most int64) (workspace.Measure, error) { return b.diskUsage(ctx, most, paths) },
		Free:    platform.FreeIn(paths.Work, b.engine.root(ctx)),
	}
	reason := disk.Watch(ctx)
	if reason == nil {
		return
	}
	b.Lose(reason)
	_ = b.engine.killContainer(ctx, b.agentID) // its next chance is Close
}

// root is the directory in which the engine keeps its layers; empty when it does
// not say.
func (e *engine) root(ctx context.Context) string {
	info, err := e.info(ctx)
	if err != nil {
		return ""
	}
	return info.DockerRootDir
}

// diskUsage is that of the trees and of the container's writable layer, through
// which the engine walks: the trees come first, which may be enough.
func (b *instance) diskUsage(ctx context.Context, most int64, paths paths) (workspace.Measure, error) {
	measured, err := workspace.UsageUpTo(ctx, most, paths.Work, paths.Git, paths.Home)
	if err != nil || measured.Bytes > most {
		return measured, err
	}
	result, err := ask(ctx, "container-size", callLimit, func(ctx context.Context) (client.ContainerInspectResult, error) {
		return b.engine.ContainerInspect(ctx, b.agentID, client.ContainerInspectOptions{Size: true})
	})
	if err != nil {
		return workspace.Measure{}, err
	}
	if layer := result.Container.SizeRw; layer != nil {
		measured.Bytes += *layer
	}
	return measured, nil
}

func (e *engine) killContainer(ctx context.Context, id string) error {
	_, err := ask(ctx, "container-kill", callLimit, func(ctx context.Context) (client.ContainerKillResult, error) {
		return e.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"})
	})
	return err
}
