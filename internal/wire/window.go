package wire

import (
	"context"
	"fmt"
	"sync"
)

// window is how much input the guest still takes for one process.
type window struct {
	more chan struct{} // a token: free may have grown

	mu   sync.Mutex // guards free
	free int
}

func newWindow() *window {
	return &window{more: make(chan struct{}, 1), free: InputWindow}
}

// wait returns how many bytes may be sent, at least 1 and at most most; 0 when
// ctx ended first.
func (w *window) wait(ctx context.Context, most int) int {
	for {
		w.mu.Lock()
		free := w.free
		w.mu.Unlock()
		if free > 0 {
			return min(free, most)
		}
		select {
		case <-w.more:
		case <-ctx.Done():
			return 0
		}
	}
}

func (w *window) take(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free -= n
}

// grant adds what the guest freed. It cannot free what it never got.
func (w *window) grant(n uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if int64(n) > int64(InputWindow-w.free) {
		return fmt.Errorf("%w: a window of %d bytes more than was sent", ErrProtocol, n)
	}
	w.free += int(n)
	select {
	case w.more <- struct{}{}:
	default:
	}
	return nil
}
