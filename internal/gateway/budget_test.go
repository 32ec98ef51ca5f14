package gateway

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// tally is a raw host that counts what it gets.
type tally struct {
	ended chan struct{} // told of each connection that has; nil for nobody
	mu    sync.Mutex    // guards got
	got   int
}

func (s *tally) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

func (s *tally) serve(conn net.Conn) {
	buffer := make([]byte, 4<<10)
	for {
		n, err := conn.Read(buffer)
		s.mu.Lock()
		s.got += n
		s.mu.Unlock()
		if err == nil {
			continue
		}
		if s.ended != nil {
			s.ended <- struct{}{}
		}
		return
	}
}

func tcpRule(host string, port int, budget int64) policy.Rule {
	return policy.Rule{Host: host, Port: port, TCP: true, Budget: budget, Source: "test"}
}

// A tcp rule carries whatever is said, by CONNECT and by SOCKS, also when the
// server speaks first; nothing else of that host passes by it.
func TestTCPRule(t *testing.T) {
	w := newWorld()
	w.host("db.example", 5432, listen(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "ready\n")
		_, _ = io.Copy(conn, conn)
	}))
	f := start(t, w, policy.Egress{Rules: []policy.Rule{tcpRule("db.example", 5432, 0)}})
	talk := func(name string, conn net.Conn) {
		t.Helper()
		got := make([]byte, 6)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "ready\n" {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
		if !open(t, conn) {
			t.Errorf("%s: nothing comes back", name)
		}
		conn.Close()
	}
	conn, code := f.overSOCKS(socksTo("db.example", 5432))
	if code != 0 {
		t.Fatalf("code %d", code)
	}
	talk("SOCKS", conn)
	conn = dial(t, f.proxy)
	_, _ = io.WriteString(conn, "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n")
	if _, err := io.ReadFull(conn, make([]byte, len("HTTP/1.1 200 Connection established\r\n\r\n"))); err != nil {
		t.Fatal(err)
	}
	talk("CONNECT", conn)
	if got := say(t, f.proxy, "CONNECT db.example:443 HTTP/1.1\r\nHost: db.example:443\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("another port: %q", got)
	}
	e := f.eventually("the totals", func(e audit.Event) bool { return e.Kind == policy.SOCKS && e.Phase == audit.Close })
	if e.Sent != 4 || e.Received != 10 || e.Rule != "allow db.example:5432 tcp (test)" {
		t.Errorf("%+v", e)
	}
}

// Not a byte more than the budget leaves, however many connections it is
// spread over, and both the client and the record are told.
func TestBudget(t *testing.T) {
	for name, tt := range map[string]policy.Egress{
		"of the bottle": {Budget: 100_000, Rules: []policy.Rule{tcpRule("a.example", 99, 0)}},
		"of a rule":     {Rules: []policy.Rule{tcpRule("a.example", 99, 100_000)}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			const clients = 4
			origin := tally{ended: make(chan struct{}, clients)}
			w.host("a.example", 99, listen(t, origin.serve))
			f := start(t, w, tt)
			var conns []net.Conn
			for range clients {
				conn, code := f.overSOCKS(socksTo("a.example", 99))
				if code != 0 {
					t.Fatalf("code %d", code)
				}
				conns = append(conns, conn)
			}
			var all sync.WaitGroup
			for _, conn := range conns {
				all.Go(func() {
					piece := bytes.Repeat([]byte{'x'}, 1000)
					for range 100 {
						if _, err := conn.Write(piece); err != nil {
							break
						}
					}
					_ = conn.(*net.TCPConn).CloseWrite() // it was said in whole, or cut
					_, _ = io.Copy(io.Discard, conn)
				})
			}
			all.Wait()
			for range clients {
				<-origin.ended
			}
			f.eventually("the cut", func(e audit.Event) bool {
				return e.Phase == audit.Close && e.Decision == audit.Denied && e.Rule == ruleBudget && strings.Contains(e.Reason, "100000 bytes")
			})
			if got := origin.total(); got > 100_000 || got < bufferSize {
				t.Errorf("%d bytes left", got)
			}
		})
	}
}

// A request that would pass the budget is refused in words, and what comes
// after it too; a change of the policy gives nothing back.
func TestBudgetSurvivesAChange(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	e := allow("a.example")
	e.Budget = 2000
	f := startControlled(t, w, e)
	client := f.client(nil)
	if got := fetch(t, client, http.MethodPost, "http://a.example/", strings.NewReader(strings.Repeat("x", 1000))); got.StatusCode != 200 {
		t.Errorf("within the budget: %d", got.StatusCode)
	}
	got := fetch(t, client, http.MethodPost, "http://a.example/", strings.NewReader(strings.Repeat("x", 1000)))
	if got.StatusCode != 403 || !strings.Contains(got.body, "the bottle may send 2000 bytes in all") {
		t.Errorf("beyond it: %d %q", got.StatusCode, got.body)
	}
	if _, err := f.control().Replace(t.Context(), wire.Replace{Policy: e, Who: "jane", Why: "the same again"}); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, client, http.MethodPost, "http://a.example/", strings.NewReader(strings.Repeat("x", 1000))); got.StatusCode != 403 {
		t.Errorf("after a change: %d", got.StatusCode)
	}
	e.Budget = 5000
	if _, err := f.control().Replace(t.Context(), wire.Replace{Policy: e, Who: "jane", Why: "more"}); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, client, http.MethodPost, "http://a.example/", strings.NewReader(strings.Repeat("x", 1000))); got.StatusCode != 200 {
		t.Errorf("with a larger budget: %d", got.StatusCode)
	}
}
