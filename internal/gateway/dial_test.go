package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// slowWorld is a dialler of addresses that answer after a time, or fail.
type slowWorld struct {
	answers map[string]time.Duration // by address; those that are not there never answer
	fails   map[string]time.Duration
	began   time.Time

	mu      sync.Mutex // guards the rest
	dialled []string
	at      []time.Duration
	live    int // connections that nobody closed
}

type countedConn struct {
	net.Conn
	w *slowWorld
}

func (c *countedConn) Close() error { c.w.count(-1); return nil }

func (w *slowWorld) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live += n
}

func (w *slowWorld) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, address)
	w.at = append(w.at, time.Since(w.began))
	w.mu.Unlock()
	wait, ok := w.answers[address]
	failing, fails := w.fails[address]
	if fails {
		wait = failing
	}
	if !ok && !fails {
		wait = time.Hour
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if fails {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	w.count(1)
	return &countedConn{w: w}, nil
}

func addrs(list ...string) []netip.Addr {
	var all []netip.Addr
	for _, a := range list {
		all = append(all, addr(a))
	}
	return all
}

// The families take turns, a silent address costs 250 ms, a refused one
// nothing, the first answer wins, and nothing else stays open.
func TestHappyEyeballs(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		addrs          []netip.Addr
		answers, fails map[string]time.Duration
		won            string
		dialled        []string
		took           time.Duration
	}{
		"IPv6 is silent": {
			addrs:   addrs("2001:db8::1", "2001:db8::2", "198.51.100.1"),
			answers: map[string]time.Duration{"198.51.100.1:443": 20 * ms, "[2001:db8::2]:443": 0},
			won:     "198.51.100.1", dialled: []string{"[2001:db8::1]:443", "198.51.100.1:443"}, took: 270 * ms,
		},
		"IPv6 is refused": {
			addrs:   addrs("2001:db8::1", "198.51.100.1"),
			fails:   map[string]time.Duration{"[2001:db8::1]:443": 5 * ms},
			answers: map[string]time.Duration{"198.51.100.1:443": 20 * ms},
			won:     "198.51.100.1", dialled: []string{"[2001:db8::1]:443", "198.51.100.1:443"}, took: 25 * ms,
		},
		"the slow one wins": {
			addrs:   addrs("198.51.100.1", "198.51.100.2"),
			answers: map[string]time.Duration{"198.51.100.1:443": 300 * ms, "198.51.100.2:443": 100 * ms},
			won:     "198.51.100.1", dialled: []string{"198.51.100.1:443", "198.51.100.2:443"}, took: 300 * ms,
		},
		"all are refused": {
			addrs:   addrs("198.51.100.1", "2001:db8::1"),
			fails:   map[string]time.Duration{"198.51.100.1:443": 0, "[2001:db8::1]:443": 0},
			dialled: []string{"198.51.100.1:443", "[2001:db8::1]:443"},
		},
		"all are silent": {
			addrs:   addrs("198.51.100.1", "2001:db8::1"),
			dialled: []string{"198.51.100.1:443", "[2001:db8::1]:443"}, took: 30 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &slowWorld{answers: tt.answers, fails: tt.fails, began: time.Now()}
				s := &server{out: outside{dialer: w}, conns: map[net.Conn]leg{}}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				conn, won, err := s.race(ctx, tt.addrs, 443)
				if took := time.Since(w.began); took != tt.took {
					t.Errorf("took %s, want %s", took, tt.took)
				}
				if !slices.Equal(w.dialled, tt.dialled) {
					t.Errorf("dialled %v at %v", w.dialled, w.at)
				}
				if tt.won == "" {
					if err == nil || conn != nil || w.live != 0 {
						t.Errorf("connected to %v, %d open", won, w.live)
					}
					return
				}
				if err != nil || won.String() != tt.won || w.live != 1 {
					t.Errorf("%v, %v, %d open", won, err, w.live)
				}
			})
		})
	}
}

// Only addresses that were checked are dialled, whatever the name has beside
// them.
func TestHappyEyeballsDialsCheckedAddresses(t *testing.T) {
	w := newWorld()
	w.names["a.example"] = addrs("10.0.0.1", "fe80::1", "93.184.216.34", "127.0.0.1", "2606:2800:220:1::1")
	w.routes["93.184.216.34:443"] = listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	f := start(t, w, allow("a.example"))
	if conn, code := f.overSOCKS(socksTo("a.example", 443)); code != 0 {
		t.Errorf("code %d", code)
	} else {
		conn.Close()
	}
	for _, dialled := range w.dials() {
		if dialled != "93.184.216.34:443" && dialled != "[2606:2800:220:1::1]:443" {
			t.Errorf("dialled %s", dialled)
		}
	}
	w.names["b.example"] = nil
	if _, _, err := f.server.race(t.Context(), nil, 443); !errors.Is(err, errNoAddress) {
		t.Error(err)
	}
}
