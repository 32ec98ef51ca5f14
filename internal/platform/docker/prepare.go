package docker

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
)

// prepare does what needs neither name nor address: files and images. What
// the agent's container does not wait for goes on behind it.
func (l *launch) prepare(ctx context.Context) error {
	l.egress = promised(func() (string, error) {
		return l.engine.ensureEgress(ctx, l.plan.Docker.Owner)
	})
	installed := promised(func() (platform.Program, error) {
		return platform.InstallProgram(l.platform.config.Binary, l.platform.config.Store.Root())
	})
	l.gatewayImage = promised(func() (string, error) {
		if part := l.plan.Docker.Pipelock; part != nil {
			return part.ImageID, nil
		}
		program, err := installed.wait()
		if err != nil {
			return "", err
		}
		return l.platform.ensureGatewayImage(ctx, l.engine, program)
	})
	group, together := errgroup.WithContext(ctx)
	staged := make(chan struct{})
	group.Go(func() error {
		defer close(staged)
		return l.stage(together)
	})
	group.Go(func() (err error) {
		l.parts.Program, err = installed.wait()
		return err
	})
	group.Go(func() error { return l.prepareImage(together, staged) })
	return group.Wait()
}

func (l *launch) stage(ctx context.Context) error {
	config := l.platform.config
	report, err := bottle.Stage(ctx, l.Run, l.plan, config.Copying)
	if err == nil && config.Copied != nil && l.plan.Spec.Cwd != "" {
		config.Copied(report)
	}
	return err
}

// prepareImage finds or builds what the agent's container runs. A derived
// image is made from the copy of the project, once that is staged.
func (l *launch) prepareImage(ctx context.Context, staged <-chan struct{}) (err error) {
	if l.plan.Spec.Bare {
		l.parts.Image, err = l.gatewayImage.wait()
		return err
	}
	l.parts.Image, err = l.platform.ensureImage(ctx, l.engine, l.plan)
	if err != nil {
		return err
	}
	if l.plan.Docker.Derived != "" {
		<-staged
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.parts.Image, err = l.platform.ensureDerived(ctx, l.engine, l.plan, l.parts.Image, l.parts.Paths.Work)
		if err != nil {
			return err
		}
	}
	brings, err := l.engine.broughtBy(ctx, l.parts.Image)
	if err != nil {
		return err
	}
	l.env = brings.env
	return refuseVolumes(l.plan.Spec.Limits, l.parts.Image, brings.volumes)
}

// refuseVolumes refuses a limit that would not be held: no engine measures what
// is in the volumes that an image declares.
func refuseVolumes(limits bottle.Limits, image string, volumes []string) error {
	if limits.Disk == 0 || len(volumes) == 0 {
		return nil
	}
	return hint.With(
		fmt.Errorf("limits.disk cannot be held: image %s declares volumes, which are not measured: %s", image, strings.Join(volumes, ", ")),
		"build the image without VOLUME, or leave limits.disk out")
}

// promise is a value that is being made.
type promise[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func promised[T any](do func() (T, error)) *promise[T] {
	p := &promise[T]{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.value, p.err = do()
	}()
	return p
}

func (p *promise[T]) wait() (T, error) {
	<-p.done
	return p.value, p.err
}

// settle waits until the making has ended, if it ever began.
func (p *promise[T]) settle() {
	if p != nil {
		<-p.done
	}
}
