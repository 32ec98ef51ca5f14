package gateway

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// TestOriginFloods: what an origin of HTTP/2 says beside its answer, however
// often, is nothing that a client hears of, costs no memory, and disturbs nobody
// else. What may not be said ends its connection.
func TestOriginFloods(t *testing.T) {
	quietly()
	defer log.SetOutput(os.Stderr)
	const frames = 2_000
	// answered is what the client gets: the whole answer, or a failure.
	for name, tt := range map[string]struct {
		flood    func(o *badOrigin, id uint32, n int) error
		answered bool
	}{
		"PING": {func(o *badOrigin, _ uint32, n int) error { return o.framer.WritePing(false, [8]byte{byte(n)}) }, true},
		"SETTINGS": {func(o *badOrigin, _ uint32, n int) error {
			return o.framer.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(n)}) //nolint:gosec // G115: few
		}, true},
		"PRIORITY": {func(o *badOrigin, id uint32, _ int) error {
			return o.framer.WritePriority(id, http2.PriorityParam{Weight: 1})
		}, true},
		"unknown": {func(o *badOrigin, _ uint32, _ int) error {
			return o.framer.WriteRawFrame(0xbe, 0, 0, make([]byte, 100))
		}, true},
		"empty DATA": {func(o *badOrigin, id uint32, _ int) error { return o.framer.WriteData(id, false, nil) }, false},
		"resets of nothing": {func(o *badOrigin, _ uint32, n int) error {
			return o.framer.WriteRSTStream(uint32(2*n+101), http2.ErrCodeCancel)
		}, true}, //nolint:gosec // G115: few
		"pushes": {func(o *badOrigin, id uint32, n int) error {
			return o.framer.WritePushPromise(http2.PushPromiseParam{
				StreamID: id, PromiseID: uint32(2*n + 2), EndHeaders: true, //nolint:gosec // G115: few
				BlockFragment: o.encode(":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/evil"),
			})
		}, false},
		"windows":      {func(o *badOrigin, _ uint32, _ int) error { return o.framer.WriteWindowUpdate(0, 1<<30) }, false},
		"unasked ACKs": {func(o *badOrigin, _ uint32, _ int) error { return o.framer.WriteSettingsAck() }, false},
		"answers to nobody": {func(o *badOrigin, _ uint32, n int) error {
			return o.head(uint32(2*n+101), o.encode(":status", "200", "x", "evil"), true) //nolint:gosec // G115: few
		}, true},
		"a second answer": {func(o *badOrigin, id uint32, n int) error {
			if n > 1 {
				return nil
			}
			return o.head(id, o.encode(":status", "200", "x", "evil"), false)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			f := inspectWorld(t, w, everything("a.example", "bad.example"), func(s *server) { s.limits.idle = time.Second })
			f.serve(w, "a.example", echo)
			f.misbehave(w, protoHTTP2, misdeed{http2: func(o *badOrigin, id uint32) {
				go func() { _, _ = io.Copy(io.Discard, o.conn) }() // ends with the connection
				for n := range frames {
					if tt.flood(o, id, n) != nil {
						return
					}
				}
				_ = o.head(id, o.encode(":status", "200"), false)
				_ = o.framer.WriteData(id, true, []byte("honest"))
				silence(o.conn)
			}})
			var peak uint64
			stop := watchHeap(&peak)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://bad.example/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := f.speak(protoHTTP2).Do(r)
			switch {
			case err == nil:
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				whole := err == nil && answer.StatusCode == http.StatusOK && string(body) == "honest"
				refused := answer.StatusCode == http.StatusBadGateway && strings.Contains(string(body), "upstream")
				if whole != tt.answered || !whole && !refused && err == nil {
					t.Errorf("%d %q %v %v", answer.StatusCode, body, answer.Header, err)
				}
			case tt.answered || errors.Is(err, context.DeadlineExceeded):
				t.Error(err)
			}
			f.others()
			if stop(); peak > 16<<20 {
				t.Errorf("%d MiB", peak>>20)
			}
		})
	}
}
