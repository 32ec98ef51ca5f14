package gateway

import "sync"

// shares are the requests that all HTTP/2 clients may have open at once. Each
// client has leastStreams of them, whatever others do, and who comes early some
// more: nobody takes what another one was told it may have (TestShares).
type shares struct {
	mu   sync.Mutex // guards free
	free int        // beyond what each client has for certain
}

// newShares are those of at most so many clients.
func newShares(clients int) *shares {
	return &shares{free: max(maxStreams-clients*leastStreams, 0)}
}

// grant takes those of one client: the fewer, the less is left.
func (s *shares) grant() (streams int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := min(s.free/4, clientStreams-leastStreams)
	s.free -= more
	return leastStreams + more
}

func (s *shares) give(streams int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += streams - leastStreams
}

// crowded says whether so many requests are under way that each has to make do
// with little.
func (m *multiplexed) crowded() bool { return len(m.inspector.streams) > crowd }

// copyBuffer is what a body is copied with until done is called.
func copyBuffer(crowded bool) (buffer []byte, done func()) {
	if crowded {
		return make([]byte, crowdedSize), func() {}
	}
	whole := buffers.Get().(*[bufferSize]byte)
	return whole[:], func() { buffers.Put(whole) }
}
