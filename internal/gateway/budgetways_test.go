package gateway

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// TestBudgetByEveryWay: whichever way bytes leave by, those beyond a budget do
// not, those before it do but for what one copy holds, and the record and the
// next request say why.
func TestBudgetByEveryWay(t *testing.T) {
	const limit, sent = 300_000, 2_000_000
	body := func() io.Reader { return io.LimitReader(xs{}, sent) }
	post := func(t *testing.T, client *http.Client, url string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body())
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = sent
		answer, err := client.Do(r)
		if err != nil {
			return // cut
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		if answer.StatusCode == 200 || answer.StatusCode == 403 && !strings.Contains(string(text), "300000 bytes in all") {
			t.Errorf("%d %s", answer.StatusCode, text)
		}
	}
	for name, way := range map[string]struct {
		policy func(e *policy.Egress)
		send   func(*testing.T, *inspected)
	}{
		"plain HTTP": {nil, func(t *testing.T, f *inspected) { post(t, f.client(nil), "http://a.example/") }},
		"spliced TLS by CONNECT": {nil, func(t *testing.T, f *inspected) {
			post(t, f.client(f.world()), "https://a.example/")
		}},
		"spliced TLS by SNI": {nil, func(t *testing.T, f *inspected) {
			client := f.bySNI(protoHTTP2)
			client.Transport.(*http.Transport).TLSClientConfig.RootCAs = f.world() //nolint:forcetypeassert // bySNI made it
			post(t, client, "https://a.example/")
		}},
		"inspected HTTP/1.1": {always, func(t *testing.T, f *inspected) { post(t, f.speak(protoHTTP1), "https://a.example/") }},
		"inspected HTTP/2":   {always, func(t *testing.T, f *inspected) { post(t, f.speak(protoHTTP2), "https://a.example/") }},
		"inspected WebSocket": {always, func(t *testing.T, f *inspected) {
			conn, _, err := websocket.Dial(t.Context(), "wss://a.example/socket", &websocket.DialOptions{HTTPClient: f.speak(protoHTTP1)}) //nolint:bodyclose // it is the socket
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.CloseNow() }()
			piece := bytes.Repeat([]byte{'x'}, 10_000)
			for range sent / len(piece) {
				if err := conn.Write(t.Context(), websocket.MessageBinary, piece); err != nil {
					return
				}
			}
			_, _, _ = conn.Read(t.Context()) // until it is cut
		}},
		"tcp": {nil, func(_ *testing.T, f *inspected) {
			conn, code := f.overSOCKS(socksTo("a.example", 99))
			if code != 0 {
				t.Fatalf("code %d", code)
			}
			_, _ = io.Copy(conn, body())
			_, _ = io.Copy(io.Discard, conn)
		}},
	} {
		for _, whose := range []string{"bottle", "rule"} {
			t.Run(name+", of the "+whose, func(t *testing.T) {
				e := policy.Egress{Rules: []policy.Rule{{Host: "a.example", Source: "test"}, tcpRule("a.example", 99, 0)}}
				if whose == "bottle" {
					e.Budget = limit
				} else {
					e.Rules[0].Budget, e.Rules[1].Budget = limit, limit
				}
				if way.policy != nil {
					way.policy(&e)
				}
				w := newWorld()
				f := inspectWorld(t, w, e)
				var got atomic.Int64
				serve := func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/socket" {
						takeSocket(w, r, &got)
						return
					}
					_, _ = io.Copy(counter{&got}, r.Body)
				}
				f.serve(w, "a.example", serve)
				w.host("a.example", 80, originServer(t, serve))
				w.host("a.example", 99, listen(t, func(conn net.Conn) { _, _ = io.Copy(counter{&got}, conn) }))
				way.send(t, f)
				f.eventually("the cut", func(e audit.Event) bool {
					return e.Phase == audit.Close && e.Decision == audit.Denied && e.Rule == ruleBudget && strings.Contains(e.Reason, "300000 bytes") &&
						e.Sent <= limit && e.Sent > limit-2*bufferSize
				})
				if n := got.Load(); n > limit {
					t.Errorf("%d bytes arrived", n)
				}
				if name == "plain HTTP" || whose == "bottle" {
					if next := fetch(t, f.client(nil), http.MethodPost, "http://a.example/", strings.NewReader(strings.Repeat("x", bufferSize))); next.StatusCode != 403 ||
						!strings.Contains(next.body, "may send 300000 bytes in all") {
						t.Errorf("the next: %d %s", next.StatusCode, next.body)
					}
				}
			})
		}
	}
}

func always(e *policy.Egress) { e.Inspect = policy.InspectAlways }

// takeSocket reads a WebSocket to its end.
func takeSocket(w http.ResponseWriter, r *http.Request, got *atomic.Int64) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	for {
		_, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		got.Add(int64(len(message)))
	}
}

// counter counts what is written to it.
type counter struct{ total *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.total.Add(int64(len(p)))
	return len(p), nil
}

// xs is a body without an end.
type xs struct{}

func (xs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
