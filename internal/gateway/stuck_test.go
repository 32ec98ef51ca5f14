package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
)

// TestStuckRequestsAreLeft: a client whose request never ends, as a request does
// not whose origin has net/http's client wait for itself, keeps neither its place
// nor the gateway's end, and its origin is spoken to in HTTP/1.1 from then on. (To
// have net/http do it would leave its goroutines for good.)
func TestStuckRequestsAreLeft(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example", "b.example"), func(s *server) { s.limits.stuck = 50 * time.Millisecond })
	for _, host := range []string{"a.example", "b.example"} {
		f.serve(w, host, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	}
	spoken := func(host string) string { return fetch(t, f.speak(protoHTTP2), "GET", "https://"+host+"/", nil).body }
	if got := spoken("a.example"); got != "HTTP/2.0" {
		t.Fatal(got)
	}
	m := &multiplexed{server: f.server, way: way{to: authority{"a.example", 443}, secure: true}, idle: make(chan struct{}), requests: 1}
	m.end()
	f.eventually("the line of it", func(e audit.Event) bool {
		return e.Host == "a.example" && e.Decision == audit.Failed && strings.Contains(e.Reason, "hang for good")
	})
	m.done() // whenever that is
	<-m.idle
	if a, b := spoken("a.example"), spoken("b.example"); a != "HTTP/1.1" || b != "HTTP/2.0" {
		t.Errorf("afterwards: %s, and another one %s", a, b)
	}
	for n := range maxStuck {
		f.server.inspector.stuck.note(authority{"x.example", n})
	}
	if got := spoken("b.example"); got != "HTTP/1.1" {
		t.Errorf("after %d such origins: %s", maxStuck, got)
	}
}
