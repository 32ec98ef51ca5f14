package gateway

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// passing says whether an accept failed for a reason that passes: want of
// descriptors or memory, or a client that is gone already. It gives the others
// a moment to end.
func passing(ctx context.Context, err error) bool {
	for _, reason := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, reason) {
			pause(ctx)
			return true
		}
	}
	return false
}

// pause keeps what fails at once from being tried without end
// (TestFailingSocketsDoNotSpin).
func pause(ctx context.Context) {
	timer := time.NewTimer(10 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
