package gateway

import "sync"

// windows is the memory that bodies under way over HTTP/2 may fill while
// nobody takes them, of all clients and of what is upstream of them together:
// clients and origins that conspire would else fill a window for each
// connection (TestStalledWindows).
type windows struct {
	mu   sync.Mutex // guards free
	free int        // bytes; below 0 where leastWindow was granted all the same
}

// grant takes the window of one connection: the smaller, the less is left.
func (w *windows) grant() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := max(min(w.free/4, upstreamWindow), leastWindow)
	w.free -= size
	return size
}

// take takes as many bytes, if they are left.
func (w *windows) take(size int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.free < size {
		return false
	}
	w.free -= size
	return true
}

func (w *windows) give(size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free += size
}

// window finds room for one more HTTP/2 connection upstream: the one that came
// with the client, or more of what is left. Where it finds none, false, an
// origin is asked for HTTP/1.1, which keeps no bodies.
func (m *multiplexed) window() (release func(), ok bool) {
	if m.inUse.CompareAndSwap(false, true) {
		return func() { m.inUse.Store(false) }, true
	}
	if m.inspector.windows.take(m.upstreamWindow) {
		return func() { m.inspector.windows.give(m.upstreamWindow) }, true
	}
	return func() {}, false
}
