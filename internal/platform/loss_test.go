package platform

import (
	"context"
	"errors"
	"testing"

	"claude-bottle/internal/wire"
)

// TestLoss: the first reason counts, and is what a process of a lost bottle's
// that was cut off is told; one that had ended well has.
func TestLoss(t *testing.T) {
	l, why, cut := NewLoss(), errors.New("the guest ended"), errors.New("a broken pipe")
	run := func(failed error, during func()) error {
		_, err := l.Exec(t.Context(), nil, func(context.Context, wire.Start, wire.Streams) (wire.Exit, error) {
			during()
			return wire.Exit{}, failed
		}, wire.Start{}, wire.Streams{})
		return err
	}
	if err := run(cut, func() {}); !errors.Is(err, cut) {
		t.Errorf("not lost: %v", err)
	}
	if err := run(nil, func() { l.Lose(why) }); err != nil {
		t.Errorf("it ended before: %v", err)
	}
	select {
	case <-l.Lost():
	default:
		t.Error("nobody is told")
	}
	l.Lose(errors.New("the gateway ended"))
	if err := l.Err(); !errors.Is(err, why) {
		t.Errorf("the reason: %v", err)
	}
	if err := run(nil, func() { t.Error("a process of a lost bottle was started") }); !errors.Is(err, why) {
		t.Errorf("afterwards: %v", err)
	}
	l = NewLoss()
	if err := run(cut, func() { l.Lose(why) }); !errors.Is(err, why) {
		t.Errorf("lost meanwhile: %v", err)
	}
}
