package gateway

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
)

// TestStalledWindows: clients of HTTP/2 that read nothing, and an origin that
// takes one request a connection and answers without end, fill what all windows
// may hold together and no more. Others notice nothing.
func TestStalledWindows(t *testing.T) {
	const clients, requests, memory = 20, leastUpstreams, 1 << 20
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"), func(s *server) { s.inspector.windows.free = memory })
	var begun, sent atomic.Int64
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/endless" {
			echo(w, r)
			return
		}
		begun.Add(1)
		piece := make([]byte, 4<<10)
		for {
			n, err := w.Write(piece)
			if err != nil {
				return
			}
			sent.Add(int64(n))
		}
	}))
	origin.TLS = &tls.Config{Certificates: []tls.Certificate{f.notary.sign("a.example")}} //nolint:gosec // a test's origin
	origin.EnableHTTP2 = true
	origin.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
	origin.Config.ErrorLog = log.New(io.Discard, "", 0)
	origin.StartTLS()
	t.Cleanup(origin.Close)
	w.host("a.example", 443, origin.Listener.Addr().String())

	before := heapOf()
	enemies := make([]*enemy, clients)
	for i := range enemies {
		enemies[i] = f.attack()
		for range requests {
			enemies[i].open(enemies[i].encode(":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/endless"), true)
		}
	}
	waitFor(t, "all requests", func() bool { return begun.Load() == clients*requests })
	last, still := int64(0), 0
	waitFor(t, "the origin to stall", func() bool {
		now := sent.Load()
		if still++; now != last {
			last, still = now, 0
		}
		return still > 200
	})
	// Both ends of each connection are in this process, with the buffers of
	// their TLS; a full window for each would be 80 MiB.
	if grown := heapOf() - before; grown > 40<<20 {
		t.Errorf("%d MiB are held for %d clients", grown>>20, clients)
	}
	f.others()
	for _, e := range enemies {
		e.conn.Close()
	}
	waitFor(t, "windows are free again", func() bool {
		windows := f.server.inspector.windows
		windows.mu.Lock()
		defer windows.mu.Unlock()
		return windows.free == memory-leastWindow // the other client's, who came late
	})
}

// heapOf is what is in use of the heap.
func heapOf() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // G115: far below
}
