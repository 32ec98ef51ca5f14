//go:build !linux

package native

import (
	"context"
	"errors"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
)

type breach struct{}

// warm is nothing here.
type warm struct{}

func errPlatform() error {
	return hint.With(errors.New("native bottles are namespaces of Linux, which this machine does not run"), "--platform docker")
}

// Ready refuses.
func (p *Platform) Ready(context.Context) error { return errPlatform() }

// Prepare refuses.
func (p *Platform) Prepare(context.Context, bottle.Spec) (bottle.Plan, error) {
	return bottle.Plan{}, errPlatform()
}

// Launch refuses.
func (p *Platform) Launch(context.Context, bottle.Plan, environ.Secrets) (bottle.Bottle, error) {
	return nil, errPlatform()
}

// Open refuses.
func (p *Platform) Open(context.Context, runs.ID) (bottle.Bottle, error) { return nil, errPlatform() }

// List finds none.
func (p *Platform) List(context.Context) ([]bottle.Status, error) { return nil, nil }

// Remove finds nothing to remove.
func (p *Platform) Remove(context.Context, runs.ID) error { return nil }
