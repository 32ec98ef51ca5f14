package bottle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// CloseDeadline bounds the teardown of one bottle. It runs from the moment
// teardown begins, whatever became of the caller's context; a platform on which
// removals take turns says how long one waits for that.
const CloseDeadline = 30 * time.Second

// Undo is what a launch has to take back, in the order in which it was made.
// Each step is registered before the next can fail; it may run although its
// own doing failed half way, so it must count what is missing as undone. The
// zero value is empty. Steps may be added by several goroutines.
type Undo struct {
	mu    sync.Mutex
	steps []undoStep
}

type undoStep struct {
	what string
	undo func(context.Context) error
}

// Add registers how to take back one step. What completes "undo …" in an
// error.
func (u *Undo) Add(what string, undo func(context.Context) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, undoStep{what, undo})
}

// Release empties u, whose launch succeeded, and returns the steps as the
// bottle's own teardown.
func (u *Undo) Release() *Undo {
	return &Undo{steps: u.take()}
}

// Run takes back every step, the last first, and empties u. It goes on past
// an error and past a panic, and returns all of them. Its context is detached
// from ctx's cancellation and ends after CloseDeadline.
func (u *Undo) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), CloseDeadline)
	defer cancel()
	return u.run(ctx)
}

func (u *Undo) run(ctx context.Context) error {
	var errs []error
	for _, step := range slices.Backward(u.take()) {
		if err := step.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("undo %s: %w", step.what, err))
		}
	}
	return errors.Join(errs...)
}

func (u *Undo) take() []undoStep {
	u.mu.Lock()
	defer u.mu.Unlock()
	steps := u.steps
	u.steps = nil
	return steps
}

// run turns a panic into an error: one broken step must not keep the others
// from removing what they made.
func (s undoStep) run(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return s.undo(ctx)
}
