package gateway

import (
	"sync"
	"time"
)

// restPause is how long no connection may have ended before a gateway counts as
// one at rest.
const restPause = 2 * time.Second

// rest gives memory back once a gateway has nothing to do: the runtime keeps
// what it had at its peak up to 4 MiB, and the kernel what the start needed of
// the program, for work that may not come for hours. The zero value does
// nothing.
type rest struct {
	mu    sync.Mutex // guards timer
	timer *time.Timer
}

// begin has give called after each time that something was done. The function
// that it returns ends that.
func (r *rest) begin(give func()) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = time.AfterFunc(restPause, give)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.timer.Stop()
		r.timer = nil
	}
}

// putOff begins the pause, since something was done.
func (r *rest) putOff() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Reset(restPause)
	}
}
