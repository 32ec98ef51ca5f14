package gateway

import (
	"sync"
	"time"
)

// stuck are the origins that had net/http's client of HTTP/2 wait for itself:
// one that grants a stream more window than there may be has it lock twice what
// can be locked once (Go 1.26), and no request of that connection ever ends.
// What hangs there is left, and such an origin is spoken to in HTTP/1.1 from
// then on; after maxStuck of them all are.
type stuck struct {
	mu      sync.Mutex // guards origins
	origins map[authority]struct{}
}

const maxStuck = 4

// trusts says whether to is spoken to in HTTP/2.
func (s *stuck) trusts(to authority) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.origins[to]
	return !known && len(s.origins) < maxStuck
}

func (s *stuck) note(to authority) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.origins == nil {
		s.origins = map[authority]struct{}{}
	}
	s.origins[to] = struct{}{}
}

// stopped waits for the requests of a client that is gone. Those that do not end
// are left behind, and the record says so: neither the place of the client nor
// the gateway's end waits for them (TestStuckRequestsAreLeft).
func (m *multiplexed) stopped() bool {
	timer := time.NewTimer(m.limits.stuck)
	defer timer.Stop()
	select {
	case <-m.idle:
		return true
	case <-timer.C:
	}
	m.inspector.stuck.note(m.way.to)
	m.mu.Lock()
	conns := m.upstream
	m.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
	why := failure(m.way.to.host, m.way.to.port, "upstream has requests hang for good by HTTP/2 as it must not be; from now on it is spoken to in HTTP/1.1", nil)
	_ = m.journal.refused(m.request("", ""), why) // a failure cuts everything; there is nobody to tell
	return false
}
