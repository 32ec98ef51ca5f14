package bottle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestUndoGoesOnPastErrorsAndPanics(t *testing.T) {
	var undo Undo
	var order []string
	step := func(name string, act func() error) {
		undo.Add(name, func(context.Context) error {
			order = append(order, name)
			return act()
		})
	}
	cause := errors.New("busy")
	step("first", func() error { return nil })
	step("second", func() error { return cause })
	step("third", func() error { panic("broken") })
	step("fourth", func() error { return nil })

	err := undo.Run(t.Context())
	if want := []string{"fourth", "third", "second", "first"}; !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "undo second: busy") || !strings.Contains(err.Error(), "undo third: panic: broken") {
		t.Errorf("error: %v", err)
	}
	if err := undo.Run(t.Context()); err != nil || len(order) != 4 {
		t.Errorf("a second run does something: %v, %q", err, order)
	}
}

func TestUndoReleased(t *testing.T) {
	var undo Undo
	count := 0
	undo.Add("step", func(context.Context) error { count++; return nil })
	released := undo.Release()
	if err := undo.Run(t.Context()); err != nil || count != 0 {
		t.Errorf("a released step was undone (%v)", err)
	}
	if err := released.Run(t.Context()); err != nil || count != 1 {
		t.Errorf("the released steps ran %d times, %v", count, err)
	}
}

// TestUndoHasItsOwnDeadline: neither the caller's end nor a step that hangs
// keeps the others from being undone.
func TestUndoHasItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
		cancel()
		var undo Undo
		reached := false
		undo.Add("first", func(context.Context) error { reached = true; return nil })
		undo.Add("hanging", func(ctx context.Context) error {
			if ctx.Err() != nil || ctx.Value(key{}) != "kept" {
				t.Error("the caller's cancellation reaches the undoing, or its values do not")
			}
			<-ctx.Done()
			return ctx.Err()
		})
		begin := time.Now()
		if err := undo.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error: %v", err)
		}
		if took := time.Since(begin); took != CloseDeadline || !reached {
			t.Errorf("took %v, want %v; the first step reached: %v", took, CloseDeadline, reached)
		}
	})
}

type key struct{}

func TestUndoBySeveral(t *testing.T) {
	var undo Undo
	var all sync.WaitGroup
	var mu sync.Mutex
	count := 0
	for range 50 {
		all.Go(func() {
			undo.Add("step", func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				count++
				return nil
			})
		})
	}
	all.Wait()
	for range 4 {
		all.Go(func() { _ = undo.Run(t.Context()) })
	}
	all.Wait()
	if count != 50 {
		t.Errorf("50 steps were undone %d times", count)
	}
}
