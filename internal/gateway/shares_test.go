package gateway

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"claude-bottle/internal/audit"
)

// TestShares: whoever comes has leastStreams for certain, who comes early more,
// and all together never more than there are.
func TestShares(t *testing.T) {
	s := newShares(maxMultiplexed)
	all, sum := []int{}, 0
	for range maxMultiplexed {
		all = append(all, s.grant())
		sum += all[len(all)-1]
	}
	if all[0] != clientStreams || all[len(all)-1] < leastStreams || sum > maxStreams {
		t.Errorf("%v: %d", all, sum)
	}
	for _, streams := range all {
		s.give(streams)
	}
	if s.free != maxStreams-maxMultiplexed*leastStreams {
		t.Errorf("%d are left of it", s.free)
	}
}

// allowed reads on until the gateway has said how many streams there may be.
func (e *enemy) allowed() int {
	e.t.Helper()
	for {
		frame, err := e.framer.ReadFrame()
		if err != nil {
			e.t.Fatal(err)
		}
		if f, ok := frame.(*http2.SettingsFrame); ok {
			streams, _ := f.Value(http2.SettingMaxConcurrentStreams)
			return int(streams)
		}
	}
}

// hoard opens a client that grants no window for answers, and asks as often as
// it may.
func (f *inspected) hoard(block func(e *enemy) []byte) (e *enemy, streams int) {
	f.t.Helper()
	e = f.attack()
	_ = e.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	streams = e.allowed()
	for range streams {
		part := block(e)
		id := e.next
		e.next += 2
		first := part[:min(len(part), frameSize)]
		_ = e.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndHeaders: len(first) == len(part), EndStream: true})
		for part = part[len(first):]; len(part) > 0; part = part[len(first):] {
			first = part[:min(len(part), frameSize)]
			_ = e.framer.WriteContinuation(id, len(first) == len(part), first)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, e.conn) }() // ends with the connection
	return e, streams
}

// TestHoarders: as many clients as there may be, which ask with heads as large
// as may be and take no byte of what they are answered, hold what a few heads
// may hold, soon nothing, and others notice nothing.
func TestHoarders(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"), func(s *server) { s.limits.linger = 5 * time.Second })
	f.serve(w, "a.example", echo)
	f.others()
	before := heapOf()
	asked := 0
	for n := range maxMultiplexed - 3 { // the other clients have places too
		e, streams := f.hoard(func(e *enemy) []byte {
			// What is refused for a field, and what for its size.
			return e.encode(":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/", "x-much", strings.Repeat(fmt.Sprint(n%10), 60<<10))
		})
		defer e.conn.Close()
		asked += streams
	}
	f.others()
	refused := func() (n int) {
		for _, e := range f.events() {
			if e.Decision == audit.Denied {
				n++
			}
		}
		return n
	}
	waitFor(t, "most to be refused", func() bool { return refused() >= asked-largeHeads })
	if grown := heapOf() - before; grown > 26<<20 { // with what the origin holds; all of them are 20 MiB more
		t.Errorf("%d MiB are held for %d requests", grown>>20, asked)
	}
	waitFor(t, "what was refused to be forgotten", func() bool { return len(f.server.inspector.streams) <= largeHeads })
	f.others()
}

// TestLargeFrames: bodies towards an origin that wants large frames, each of
// which makes net/http keep half a MiB, are few; a further one is told so.
func TestLargeFrames(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"), func(s *server) { s.inspector.frames.free = 2 << 20 })
	wait := make(chan struct{})
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-wait
		}
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	origin.TLS = &tls.Config{Certificates: []tls.Certificate{f.notary.sign("a.example")}} //nolint:gosec // a test's origin
	origin.EnableHTTP2 = true
	origin.StartTLS()
	t.Cleanup(origin.Close)
	w.host("a.example", 443, origin.Listener.Addr().String())
	client := f.speak(protoHTTP2)
	fetch(t, client, "GET", "https://a.example/", nil) // from now on the gateway knows how large frames may be
	var all sync.WaitGroup
	var bodies []*io.PipeWriter
	for range 4 {
		in, out := io.Pipe()
		bodies = append(bodies, out)
		all.Go(func() { fetch(t, client, "POST", "https://a.example/wait", in) })
		_, _ = io.WriteString(out, "begin")
	}
	waitFor(t, "all room taken", func() bool { return !f.server.inspector.frames.take(1 << 10) })
	in, out := io.Pipe()
	go func() { _, _ = io.WriteString(out, "begin") }() // ends with the request
	if got := fetch(t, client, "POST", "https://a.example/", in); got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.body, errFrames.Error()) {
		t.Errorf("a fifth one: %d %q", got.StatusCode, got.body)
	}
	in.Close()
	if got := fetch(t, client, "POST", "https://a.example/", strings.NewReader("short")); got.StatusCode != http.StatusOK {
		t.Errorf("a short one: %d %q", got.StatusCode, got.body)
	}
	close(wait)
	for _, body := range bodies {
		body.Close()
	}
	all.Wait()
	waitFor(t, "room", func() bool {
		return fetch(t, client, "POST", "https://a.example/", io.MultiReader(strings.NewReader("again"))).StatusCode == http.StatusOK
	})
}
