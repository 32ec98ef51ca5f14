package gateway

import (
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// TestClientFloods: frames that cost a client nothing cost the gateway nothing
// that stays, reach no origin, and other clients notice nothing. What the frames'
// server takes for an attack ends the client.
func TestClientFloods(t *testing.T) {
	const frames = 5_000
	for name, tt := range map[string]struct {
		flood func(e *enemy, n int) error
		ends  bool // the connection, before all was sent
	}{
		"PRIORITY": {func(e *enemy, n int) error {
			return e.framer.WritePriority(uint32(2*n+1), http2.PriorityParam{StreamDep: uint32(2*n + 3), Weight: 1}) //nolint:gosec // G115: few
		}, false},
		"SETTINGS": {func(e *enemy, n int) error {
			return e.framer.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(n)}) //nolint:gosec // G115: few
		}, false},
		"PING":         {func(e *enemy, n int) error { return e.framer.WritePing(false, [8]byte{byte(n)}) }, false},
		"unasked ACKs": {func(e *enemy, _ int) error { return e.framer.WriteSettingsAck() }, true},
		"windows": {func(e *enemy, _ int) error {
			return e.framer.WriteWindowUpdate(0, 1<<20) // 2,047 of them are more than there may be
		}, true},
		"empty DATA": {func(e *enemy, n int) error {
			if n == 0 {
				e.open(e.encode(":method", "POST", ":scheme", "https", ":authority", "a.example", ":path", "/"), false)
			}
			return e.framer.WriteData(1, false, nil)
		}, false},
		"unknown": {func(e *enemy, _ int) error { return e.framer.WriteRawFrame(0xbe, 0, 0, make([]byte, 100)) }, false},
		"pushes": {func(e *enemy, _ int) error {
			return e.framer.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2})
		}, true},
		"table changes": {func(e *enemy, n int) error {
			e.open(append([]byte{0x20, 0x3f, 0xe1, 0x1f}, e.get("x", fmt.Sprint(n))...), true)
			return e.sent()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			f := inspectWorld(t, w, everything("a.example"))
			f.serve(w, "a.example", echo)
			var peak uint64
			stop := watchHeap(&peak)
			e := f.attack()
			ended := make(chan struct{})
			go func() { // ends with the connection
				_, _ = io.Copy(io.Discard, e.conn)
				close(ended)
			}()
			var err error
			for n := 0; n < frames && err == nil; n++ {
				err = tt.flood(e, n)
			}
			if tt.ends {
				select {
				case <-ended:
				case <-time.After(5 * time.Second):
					t.Error("it was not ended")
				}
			}
			f.others()
			e.conn.Close()
			<-ended
			if stop(); peak > 24<<20 {
				t.Errorf("%d MiB", peak>>20)
			}
		})
	}
}

// sent says whether the connection still takes what is written.
func (e *enemy) sent() error { return e.framer.WritePing(true, [8]byte{}) }

// TestInducedResets: a client that has the gateway reset its streams, by frames
// that may not be, instead of resetting them itself (CVE-2025-8671), has its origin
// at work on a few times as many requests as it may have open, not on all.
func TestInducedResets(t *testing.T) {
	for name, provoke := range map[string]func(e *enemy, id uint32) error{
		"no window":       func(e *enemy, id uint32) error { return e.framer.WriteWindowUpdate(id, 0) },
		"too much window": func(e *enemy, id uint32) error { return e.framer.WriteWindowUpdate(id, 1<<31-1) },
		"behind the end":  func(e *enemy, id uint32) error { return e.framer.WriteData(id, true, []byte("more")) },
		"head behind a head": func(e *enemy, id uint32) error {
			return e.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: e.encode("x", "y"), EndHeaders: true})
		},
		"depends on itself": func(e *enemy, id uint32) error {
			return e.framer.WritePriority(id, http2.PriorityParam{StreamDep: id})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			f := inspectWorld(t, w, everything("a.example"))
			var busy atOnce
			f.serve(w, "a.example", busy.serve)
			e := f.attack()
			go func() { _, _ = io.Copy(io.Discard, e.conn) }() // ends with the connection
			for range 3000 {
				id := e.open(e.encode(":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/slow"), true)
				if provoke(e, id) != nil {
					break
				}
			}
			f.others()
			if most := busy.atMost(); most > 5*clientStreams { // the origin hears of a reset a while later
				t.Errorf("%d at once", most)
			}
			e.conn.Close()
		})
	}
}
