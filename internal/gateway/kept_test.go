package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// moving is a resolver for whom a name leads somewhere else after it was asked
// for once.
type moving struct {
	asked atomic.Int32
	to    [2]netip.Addr
}

func (m *moving) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{m.to[min(m.asked.Add(1)-1, 1)]}, nil
}

// A connection that was kept, or that others share, leads nowhere that the
// policy does not allow any longer, also where the tunnel around its requests
// was opened to another address; what is under way to there is cut.
func TestKeptConnectionIsJudgedAnew(t *testing.T) {
	const first, then = "93.184.216.1", "93.184.216.2"
	for _, way := range []struct{ name, scheme, client, origin string }{
		{"plain", "http", protoHTTP1, ""},
		{"HTTP1", "https", protoHTTP1, protoHTTP1},
		{"HTTP2 to HTTP1", "https", protoHTTP2, protoHTTP1},
		{"HTTP2", "https", protoHTTP2, protoHTTP2},
	} {
		t.Run(way.name, func(t *testing.T) {
			w := newWorld()
			names := &moving{to: [2]netip.Addr{addr(first), addr(then)}}
			fixed := func(s *server) { s.out.resolver = names }
			n := newNotary(t)
			with, authority := inspecting(t, n.pem())
			control := &fixture{t: t, record: t.TempDir() + "/record"}
			control.run(w, everything("a.example"), with, fixed, controlled(t, control))
			f := inspectedBy(control, n, authority)
			origin := func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/held" {
					_, _ = io.WriteString(rw, "begun")
					_ = http.NewResponseController(rw).Flush()
					<-r.Context().Done()
				}
			}
			protocols := []string{protoHTTP1}
			if way.origin == protoHTTP2 {
				protocols = nil
			}
			var listener string
			if way.scheme == "http" {
				names.asked.Store(1) // no tunnel asks
				listener = originServer(t, origin)
			} else {
				listener = secureOrigin(t, n.sign("a.example"), origin, protocols...)
			}
			for _, at := range []string{first, then} {
				w.routes[at+":443"], w.routes[at+":80"] = listener, listener
			}
			client := f.speak(way.client)
			url := way.scheme + "://a.example/"
			if got := fetch(t, client, http.MethodGet, url, nil); got.StatusCode != 200 {
				t.Fatalf("%d %q", got.StatusCode, got.body)
			}
			var underWay io.ReadCloser
			if way.client == protoHTTP2 { // beside it, in the same tunnel
				underWay = begin(t, client, url+"held")
			}
			changed, err := f.control().Allow(t.Context(), wire.Allow{Rule: policy.Rule{Host: then, Deny: true}, Who: "jane"})
			if err != nil {
				t.Fatal(err)
			}
			if underWay != nil {
				_, err := io.Copy(io.Discard, underWay)
				if err == nil || errors.Is(err, context.DeadlineExceeded) || changed.Cut != 1 {
					t.Errorf("what is under way goes on: %v, %+v", err, changed)
				}
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Do(r)
			if err != nil { // in another tunnel, which was refused
				if !strings.Contains(err.Error(), "Forbidden") {
					t.Error(err)
				}
				return
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if answer.StatusCode != http.StatusForbidden || !strings.Contains(string(body), then+", which is denied") {
				t.Errorf("%d %q, %v", answer.StatusCode, body, err)
			}
		})
	}
}

// begin asks for something and returns what follows its first words.
func begin(t *testing.T, client *http.Client, url string) io.ReadCloser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if _, err := io.ReadFull(answer.Body, make([]byte, len("begun"))); err != nil {
		t.Fatal(err)
	}
	return answer.Body
}

// What a request sends behind its body is paid for like the body.
func TestBudgetCountsTrailers(t *testing.T) {
	for _, version := range []string{protoHTTP1, protoHTTP2} {
		t.Run(version, func(t *testing.T) {
			w := newWorld()
			e := everything("a.example")
			e.Budget = 4000
			f := inspectWorld(t, w, e)
			var got atomic.Int64
			f.serve(w, "a.example", func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				got.Add(int64(len(r.Trailer.Get("X-Much"))))
			})
			client := f.speak(version)
			for range 3 {
				ctx, cancel := context.WithCancel(t.Context())
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://a.example/", io.MultiReader(strings.NewReader("x")))
				if err != nil {
					t.Fatal(err)
				}
				r.Trailer = http.Header{"X-Much": {strings.Repeat("y", 3000)}}
				if answer, err := client.Do(r); err == nil {
					answer.Body.Close()
				}
				cancel()
			}
			if got.Load() != 3000 {
				t.Errorf("%d bytes of trailers left", got.Load())
			}
		})
	}
}

// What an origin leaves of connections that it ends is not kept as long as the
// client stays.
func TestEndedUpstreamsAreForgotten(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("bad.example"))
	f.misbehave(w, protoHTTP2, misdeeds()["goes away politely"])
	client := f.speak(protoHTTP2)
	ask := func(times int) {
		for range times {
			fetch(t, client, http.MethodGet, "https://bad.example/x", nil)
		}
	}
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	ask(2)
	before := held()
	ask(40)
	waitFor(t, "the memory", func() bool { return held() < before+2<<20 })
}
