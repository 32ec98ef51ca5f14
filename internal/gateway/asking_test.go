package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// attendant is a person who answers.
type attendant struct {
	client *wire.ControlClient

	mu   sync.Mutex // guards seen
	seen []wire.Question
}

// attended has a person attend who answers each question that is held, once,
// with what verdict says; an empty verdict leaves it.
func (f *fixture) attended(verdict func(wire.Question) wire.Answer) (*attendant, context.CancelFunc) {
	f.t.Helper()
	a := &attendant{client: f.control()}
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = a.client.Attend(ctx, func() {}, func(q wire.Question) error {
			a.mu.Lock()
			a.seen = append(a.seen, q)
			a.mu.Unlock()
			if q.Over || q.Held == 0 {
				return nil
			}
			answer := verdict(q)
			if answer.Verdict == "" {
				return nil
			}
			answer.ID, answer.Who = q.ID, "jane"
			return a.client.Answer(answer)
		})
	}()
	f.t.Cleanup(func() { cancel(); <-done })
	waitFor(f.t, "the person is there", f.server.asking.attended)
	return a, cancel
}

func (a *attendant) questions() []wire.Question {
	a.mu.Lock()
	defer a.mu.Unlock()
	var asked []wire.Question
	for _, q := range a.seen {
		if !q.Over && q.Held > 0 {
			asked = append(asked, q)
		}
	}
	return asked
}

func asks(hosts ...string) policy.Egress {
	e := allow(hosts...)
	e.Unlisted = "ask"
	return e
}

func says(v wire.Verdict) func(wire.Question) wire.Answer {
	return func(q wire.Question) wire.Answer {
		return wire.Answer{Verdict: v, Rule: policy.Rule{Host: q.Host, Port: q.Port}}
	}
}

// A request for an unlisted name waits for a person, whose answer holds from
// then on; one question a name.
func TestAsking(t *testing.T) {
	w := newWorld()
	echoing(t, w, "new.example", "bad.example")
	f := startControlled(t, w, asks("a.example"))
	a, _ := f.attended(func(q wire.Question) wire.Answer {
		if q.Host == "bad.example" {
			return wire.Answer{Verdict: wire.Refuse}
		}
		return says(wire.ForRun)(q)
	})
	for range 2 {
		conn, err := f.tunnelTo("new.example")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if _, err := f.tunnelTo("bad.example"); err == nil {
			t.Error("allowed although a person said no")
		}
	}
	if asked := a.questions(); len(asked) != 2 || asked[0].Host != "new.example" || asked[0].Port != 443 || asked[0].Kind != "connect" {
		t.Errorf("asked %+v", asked)
	}
	f.eventually("who allowed it", func(e audit.Event) bool {
		return e.Kind == audit.Change && e.Host == "new.example" && strings.Contains(e.Reason, "jane")
	})
	f.eventually("who refused it", func(e audit.Event) bool {
		return e.Kind == audit.Change && e.Host == "bad.example" && strings.Contains(e.Reason, "refused by jane")
	})
	f.eventually("the refusal", func(e audit.Event) bool {
		return e.Host == "bad.example" && e.Decision == audit.Denied && strings.Contains(e.Reason, "said no")
	})
}

// Once is one connection, which then lives as long as it likes.
func TestAskingOnce(t *testing.T) {
	w := newWorld()
	echoing(t, w, "new.example")
	f := startControlled(t, w, asks())
	answered := false
	f.attended(func(q wire.Question) wire.Answer {
		if answered {
			return wire.Answer{Verdict: wire.Refuse}
		}
		answered = true
		return wire.Answer{Verdict: wire.Once}
	})
	m := f.ask1(query(t, "new.example.", dnsmessage.TypeA))
	if m.RCode != dnsmessage.RCodeSuccess {
		t.Errorf("the look-up: %v", m.RCode)
	}
	first, err := f.tunnelTo("new.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.tunnelTo("new.example"); err == nil {
		t.Error("a second connection")
	}
	if !open(t, first) {
		t.Error("the connection that was allowed was cut")
	}
}

// ask1 sends one question over UDP.
func (f *fixture) ask1(message []byte) dnsmessage.Message {
	f.t.Helper()
	udp, err := connect(f.t, "udp", f.dnsUDP)
	if err != nil {
		f.t.Fatal(err)
	}
	defer udp.Close()
	_ = udp.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = udp.Write(message)
	buffer := make([]byte, 2048)
	n, err := udp.Read(buffer)
	if err != nil {
		f.t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(buffer[:n]); err != nil {
		f.t.Fatal(err)
	}
	return m
}

// Nobody is asked about what a person could not judge, or must not see, and
// without a person there is no question at all.
func TestAskingNever(t *testing.T) {
	w := newWorld()
	f := startControlled(t, w, asks("a.example"))
	quick := func(host string) {
		t.Helper()
		began := time.Now()
		if _, code := f.overSOCKS(socksTo(host, 443)); code != 2 {
			t.Errorf("%s: code %d", host, code)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s was held for %s", host, took)
		}
	}
	quick("nobody-attends.example")
	a, _ := f.attended(func(wire.Question) wire.Answer { return wire.Answer{} })
	for _, host := range []string{
		"10.0.0.1", "127.0.0.1", "169.254.169.254", "[::1]", "localhost", "router", "printer.local", "db.internal",
		"aGVsbG8gd29ybGQgdGhpcyBpcyBhIHNlY3JldA.example", "0123456789abcdef0123456789abcdef.evil.example",
	} {
		quick(strings.Trim(host, "[]"))
	}
	if _, code := f.overSOCKS(socksTo("a.example", 22)); code != 2 { // listed, for other ports
		t.Errorf("code %d", code)
	}
	if asked := a.questions(); len(asked) != 0 {
		t.Errorf("asked %+v", asked)
	}
}

// When the last person leaves nothing waits any longer, and who comes back
// sees what was missed and can still answer it.
func TestAskingWhenThePersonLeaves(t *testing.T) {
	w := newWorld()
	echoing(t, w, "new.example")
	f := startControlled(t, w, asks())
	a, leave := f.attended(func(wire.Question) wire.Answer { return wire.Answer{} })
	done := make(chan error, 1)
	go func() {
		conn, err := net.Dial("tcp", f.proxy) //nolint:noctx // the test's own deadline ends it
		if err == nil {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, err = io.WriteString(conn, "CONNECT new.example:443 HTTP/1.1\r\nHost: new.example:443\r\n\r\n")
		}
		answer := make([]byte, 12)
		if err == nil {
			_, err = io.ReadFull(conn, answer)
		}
		if err == nil && string(answer) != "HTTP/1.1 403" {
			err = errors.New(string(answer))
		}
		done <- err
	}()
	waitFor(t, "the question", func() bool { return len(a.questions()) == 1 })
	leave()
	if err := <-done; err != nil {
		t.Error(err)
	}
	again, cancel := f.attended(func(wire.Question) wire.Answer { return wire.Answer{} })
	defer cancel()
	waitFor(t, "what was missed", func() bool {
		again.mu.Lock()
		defer again.mu.Unlock()
		return len(again.seen) == 1 && again.seen[0].Held == 0 && again.seen[0].Host == "new.example"
	})
	if err := again.client.Answer(wire.Answer{ID: again.seen[0].ID, Verdict: wire.ForRun, Rule: policy.Rule{Host: "new.example"}, Who: "jane"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the answer holds", func() bool {
		conn, err := f.tunnelTo("new.example")
		conn.Close()
		return err == nil
	})
}

// A bottle that makes names up cannot hold more than some questions open.
func TestAskingIsBounded(t *testing.T) {
	a := &asking{}
	p := a.arrive(func() {})
	defer a.leave(p)
	for i := range 2 * maxHeld {
		a.ask(policy.Request{Port: 443}, itoa(i)+".example", time.Now().Add(askHold), func(*question) {})
	}
	if a.held != maxHeld || len(a.asked) != maxHeld {
		t.Errorf("%d are held, %d remembered", a.held, len(a.asked))
	}
	for i := range 2 * maxAsked {
		a.mu.Lock()
		for _, q := range a.asked {
			a.release(q)
		}
		a.mu.Unlock()
		a.ask(policy.Request{Port: 443}, "x"+itoa(i)+".example", time.Now().Add(askHold), func(*question) {})
	}
	if len(a.asked) != maxAsked {
		t.Errorf("%d are remembered", len(a.asked))
	}
	for _, q := range a.asked {
		a.release(q)
	}
}

// Who allows by another way what a request waits for has answered: the request
// goes, and nobody is asked any longer.
func TestAskingEndsWithAllow(t *testing.T) {
	w := newWorld()
	echoing(t, w, "new.example")
	f := startControlled(t, w, asks())
	a, _ := f.attended(func(wire.Question) wire.Answer { return wire.Answer{} })
	done := make(chan error, 1)
	go func() {
		conn, err := f.tunnelTo("new.example")
		conn.Close()
		done <- err
	}()
	waitFor(t, "the question", func() bool { return len(a.questions()) == 1 })
	if _, err := f.control().Allow(t.Context(), wire.Allow{Rule: policy.Rule{Host: "new.example"}, Who: "joe"}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	waitFor(t, "the end of the question", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.seen) == 2 && a.seen[1].Over && a.seen[1].ID == a.seen[0].ID
	})
}
