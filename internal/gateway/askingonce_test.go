package gateway

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// onceThenNo answers the first question with once, when ready says so, and all
// others with no.
func onceThenNo(ready func()) func(wire.Question) wire.Answer {
	answered := false
	return func(wire.Question) wire.Answer {
		if answered {
			return wire.Answer{Verdict: wire.Refuse}
		}
		ready()
		answered = true
		return wire.Answer{Verdict: wire.Once}
	}
}

// Of requests that wait for one name, once lets one go. About the others the
// person is asked anew, one question for all of them.
func TestAskingOnceOfManyThatWait(t *testing.T) {
	const clients = 5
	w := newWorld()
	echoing(t, w, "new.example")
	f := startControlled(t, w, asks())
	a, _ := f.attended(onceThenNo(func() {
		waitFor(t, "all to wait", func() bool {
			f.server.mu.Lock()
			defer f.server.mu.Unlock()
			return len(f.server.conns)-f.server.waiting.order.Len() == clients
		})
	}))
	var through atomic.Int32
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			if _, err := f.tunnelTo("new.example"); err == nil {
				through.Add(1)
			}
		})
	}
	all.Wait()
	if n := through.Load(); n != 1 {
		t.Errorf("%d of %d went through", n, clients)
	}
	if n := len(a.questions()); n != 2 {
		t.Errorf("%d questions, want 2", n)
	}
	refused := 0
	for _, e := range f.events() {
		if e.Decision == audit.Denied && e.Kind == policy.Connect {
			refused++
			if !strings.HasSuffix(e.Reason, "; a person was asked and said no") {
				t.Errorf("refused since %s", e.Reason)
			}
		}
	}
	if refused != clients-1 {
		t.Errorf("%d refusals", refused)
	}
}

// Once is for the request that was shown. Another one that waits cannot take
// its place, and is told what it was.
func TestAskingOnceIsForWhatWasShown(t *testing.T) {
	w := newWorld()
	var served sync.Map
	w.host("new.example", 80, originServer(t, func(w http.ResponseWriter, r *http.Request) {
		served.Store(r.Method+" "+r.URL.Path, true)
		echo(w, r)
	}))
	f := startControlled(t, w, asks())
	posted := make(chan reply, 1)
	a, leave := f.attended(func(q wire.Question) wire.Answer {
		if q.Method == http.MethodPost {
			return wire.Answer{}
		}
		go func() { posted <- fetch(t, f.client(nil), http.MethodPost, "http://new.example/b", nil) }()
		waitFor(t, "both to wait", func() bool {
			f.server.mu.Lock()
			defer f.server.mu.Unlock()
			return len(f.server.conns)-f.server.waiting.order.Len() == 2
		})
		return wire.Answer{Verdict: wire.Once}
	})
	if got := fetch(t, f.client(nil), http.MethodGet, "http://new.example/a", nil); got.StatusCode != 200 {
		t.Errorf("what was shown: %d %s", got.StatusCode, got.body)
	}
	waitFor(t, "the other's question", func() bool {
		asked := a.questions()
		return len(asked) == 2 && asked[1].Method == http.MethodPost && asked[1].Path == "/b"
	})
	leave()
	if got := <-posted; got.StatusCode != 403 || !strings.Contains(got.body, "a person was asked and has not answered") {
		t.Errorf("the other: %d %s", got.StatusCode, got.body)
	}
	if _, ok := served.Load("POST /b"); ok {
		t.Error("what the person did not see was sent")
	}
}

// What was allowed once is cut when a rule comes that denies it, and not because
// nothing lists it.
func TestAskingOnceIsNoMoreThanADenial(t *testing.T) {
	w := newWorld()
	echoing(t, w, "new.example")
	f := startControlled(t, w, asks())
	f.attended(says(wire.Once))
	conn, err := f.tunnelTo("new.example")
	if err != nil {
		t.Fatal(err)
	}
	e := asks()
	if _, err := f.control().Replace(t.Context(), wire.Replace{Policy: e, Who: "jane", Why: "the same again"}); err != nil {
		t.Fatal(err)
	}
	if !open(t, conn) {
		t.Error("cut since nothing lists it")
	}
	e.Rules = []policy.Rule{{Host: "new.example", Deny: true}}
	if _, err := f.control().Replace(t.Context(), wire.Replace{Policy: e, Who: "jane", Why: "not this one"}); err != nil {
		t.Fatal(err)
	}
	if open(t, conn) {
		t.Error("carried although a rule denies it")
	}
}

// A rule for the run that leaves out a request that waits as well refuses that
// in words that are true.
func TestAskingForTheRunLeavesOthersOut(t *testing.T) {
	w := newWorld()
	w.host("new.example", 80, originServer(t, echo))
	f := startControlled(t, w, asks())
	posted := make(chan reply, 1)
	f.attended(func(q wire.Question) wire.Answer {
		go func() { posted <- fetch(t, f.client(nil), http.MethodPost, "http://new.example/b", nil) }()
		waitFor(t, "both to wait", func() bool {
			f.server.mu.Lock()
			defer f.server.mu.Unlock()
			return len(f.server.conns)-f.server.waiting.order.Len() == 2
		})
		return wire.Answer{Verdict: wire.ForRun, Rule: policy.Rule{Host: q.Host, Port: 80, Methods: []string{"GET"}, Paths: []string{"/a"}}}
	})
	if got := fetch(t, f.client(nil), http.MethodGet, "http://new.example/a", nil); got.StatusCode != 200 {
		t.Errorf("what was shown: %d %s", got.StatusCode, got.body)
	}
	if got := <-posted; got.StatusCode != 403 || !strings.Contains(got.body, "only GET /a is; a person was asked and allowed other requests") {
		t.Errorf("the other: %d %s", got.StatusCode, got.body)
	}
}

// On one connection, of HTTP/1.1 or HTTP/2, each request is asked about like
// one on a connection of its own.
func TestAskingOnAKeptConnection(t *testing.T) {
	for _, version := range []string{protoHTTP1, protoHTTP2} {
		t.Run(version, func(t *testing.T) {
			w := newWorld()
			e := asks()
			e.Inspect = policy.InspectAlways
			n := newNotary(t)
			with, authority := inspecting(t, n.pem())
			f := inspectedBy(startControlled(t, w, e, with), n, authority)
			f.serve(w, "new.example", echo)
			a, _ := f.attended(func(q wire.Question) wire.Answer {
				if q.Path == "/no" {
					return wire.Answer{Verdict: wire.Refuse}
				}
				return wire.Answer{Verdict: wire.Once}
			})
			client := f.speak(version)
			for _, path := range []string{"/first", "/second", "/third"} {
				if got := fetch(t, client, http.MethodGet, "https://new.example"+path, nil); got.StatusCode != 200 {
					t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
				}
			}
			if got := fetch(t, client, http.MethodGet, "https://new.example/no", nil); got.StatusCode != 403 || !strings.Contains(got.body, "said no") {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
			// The tunnel and the first request are one answer.
			var paths []string
			for _, q := range a.questions() {
				paths = append(paths, q.Method+q.Path)
			}
			if got := strings.Join(paths, " "); got != "CONNECT GET/second GET/third GET/no" {
				t.Errorf("asked about %q", got)
			}
		})
	}
}

// A rule whose path reads like what marks an answer "once" is a rule as any other:
// its requests go on, each of them.
func TestOnceIsNoPath(t *testing.T) {
	w := newWorld()
	f := start(t, w, policy.Egress{Rules: []policy.Rule{{Host: "a.example", Paths: []string{"/a, once)/*"}, Source: "test"}}})
	w.host("a.example", 80, originServer(t, echo))
	for range 2 {
		got := say(t, f.proxy, "GET http://a.example/a,%20once)/x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Fatalf("%q", got)
		}
	}
}
