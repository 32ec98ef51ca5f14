package gateway

import (
	"container/list"
	"context"
	"net"
	"time"
)

// waiting are the clients that have asked for nothing yet, or for nothing
// more: those whose next request is not whole. The one that has waited
// longest is first.
type waiting struct {
	order list.List // of net.Conn
	at    map[net.Conn]*list.Element
}

func (w *waiting) add(conn net.Conn) {
	if w.at == nil {
		w.at = map[net.Conn]*list.Element{}
	}
	if w.at[conn] == nil {
		w.at[conn] = w.order.PushBack(conn)
	}
}

func (w *waiting) remove(conn net.Conn) {
	if place := w.at[conn]; place != nil {
		w.order.Remove(place)
		delete(w.at, conn)
	}
}

// oldest removes and returns the client that has waited longest, or nil.
func (w *waiting) oldest() net.Conn {
	first := w.order.Front()
	if first == nil {
		return nil
	}
	conn := first.Value.(net.Conn)
	w.remove(conn)
	return conn
}

// waits says that conn's next request has yet to come.
func (s *server) waits(conn net.Conn) {
	conn = socket(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ours := s.conns[conn]; ours {
		s.waiting.add(conn)
	}
}

// busy says that conn has asked for something.
func (s *server) busy(conn net.Conn) {
	conn = socket(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting.remove(conn)
}

// makeRoom closes the client that has waited longest and takes its slot. It
// is false when every client is at work.
func (s *server) makeRoom(ctx context.Context) bool {
	s.mu.Lock()
	conn := s.waiting.oldest()
	s.mu.Unlock()
	if conn == nil {
		return false
	}
	conn.Close() // its goroutine notices, and gives its slot back
	patience := time.NewTimer(s.limits.linger)
	defer patience.Stop()
	select {
	case s.slots <- struct{}{}:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}
