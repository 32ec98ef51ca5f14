package faults_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"claude-bottle/test/faultproxy"
)

// calls are how many calls of the engine an act makes.
func calls(p *place, act func(env ...string) result) int {
	p.t.Helper()
	p.proxy.Rules()
	if got := act(); got.code != 0 {
		p.t.Fatalf("without a fault: %+v", got)
	}
	return len(p.proxy.Seen())
}

// faults are what an engine may do to a call.
var faults = []struct {
	name string
	rule faultproxy.Rule
}{
	{"an error", faultproxy.Rule{Fault: faultproxy.Answer, Status: http.StatusInternalServerError, Message: "the engine is unwell"}},
	{"no space", faultproxy.Rule{Fault: faultproxy.Answer, Status: http.StatusInternalServerError, Message: "write /var/lib/docker/tmp: no space left on device"}},
	{"cut off", faultproxy.Rule{Fault: faultproxy.CutBefore}},
	{"answer lost", faultproxy.Rule{Fault: faultproxy.CutAfter}},
}

// TestEngineFails disturbs each call that a launch makes in turn.
func TestEngineFails(t *testing.T) {
	p := newPlace(t).warm()
	n := calls(p, p.life)
	p.back("a launch", true)
	for _, fault := range some(faults, 2) {
		var all []int
		for i := range n {
			all = append(all, i+1)
		}
		for _, i := range some(all, 1) {
			rule := fault.rule
			rule.N = i
			p.proxy.Rules(rule)
			got := p.life()
			disturbed := p.disturbed(i)
			p.proxy.Rules()
			p.reports(fmt.Sprintf("%s at %s", fault.name, disturbed), got)
			p.back(fmt.Sprintf("%s at %s", fault.name, disturbed), got.wrote())
		}
	}
}

// disturbed is the nth call.
func (p *place) disturbed(n int) string {
	if p.proxy.Hits() > 0 {
		tally.requests.Add(1)
	}
	if seen := p.proxy.Seen(); n <= len(seen) {
		return fmt.Sprintf("call %d, %s", n, seen[n-1])
	}
	return fmt.Sprintf("call %d, which was not made", n)
}

// reports wants a command that failed to have said so in words for people.
func (p *place) reports(what string, got result) {
	p.t.Helper()
	switch {
	case got.code == -1, strings.Contains(got.stderr, "panic"):
		p.t.Errorf("%s: %+v", what, got)
	case got.code != 0 && !strings.Contains(got.stderr, "error: "):
		p.t.Errorf("%s: code %d without a word: %+v", what, got.code, got)
	}
}

// TestEngineSlow answers each call late, but in time.
func TestEngineSlow(t *testing.T) {
	needAll(t)
	p := newPlace(t).warm()
	p.proxy.Rules(faultproxy.Rule{Delay: 300 * time.Millisecond})
	if got := p.life(); got.code != 0 || !got.wrote() {
		t.Errorf("a slow engine: %+v", got)
	}
	tally.requests.Add(int64(p.proxy.Hits()))
	p.proxy.Rules()
	p.back("a slow engine", true)
}

// TestEngineHangs lets calls be without an answer until their deadline.
func TestEngineHangs(t *testing.T) {
	needAll(t)
	p := newPlace(t).warm()
	for _, call := range []string{
		"POST /containers/create", "POST /networks/create", "POST /containers/[^/]+/attach", "DELETE /containers", "DELETE /networks",
	} {
		p.proxy.Rules(faultproxy.Rule{Match: match("^" + call), N: 1, Fault: faultproxy.Hang})
		got := p.life()
		if p.proxy.Hits() == 0 {
			t.Errorf("%s was not called", call)
		}
		tally.requests.Add(1)
		p.proxy.Rules()
		p.reports(call+" hangs", got)
		p.back(call+" hangs", got.wrote())
	}
}

// TestEngineLate loses the connection of each call that makes something, and
// has the engine make it when the launcher has taken everything back and gone.
func TestEngineLate(t *testing.T) {
	p := newPlace(t).warm()
	for _, call := range []string{"POST /networks/create", "POST /containers/create.*gateway", "POST /containers/create"} {
		gone, made := make(chan struct{}), make(chan struct{})
		p.proxy.Rules(faultproxy.Rule{
			Match: match("^" + call), N: 1,
			Fault: faultproxy.Late, Held: func() { <-gone }, Done: func() { close(made) },
		})
		got := p.life()
		close(gone)
		if p.proxy.Hits() == 0 || got.code == 0 {
			t.Fatalf("%s is late: %+v", call, got)
		}
		tally.requests.Add(1)
		<-made
		p.proxy.Rules()
		p.reports(call+" is late", got)
		p.back(call+" is late", got.wrote())
	}
}

// TestEngineDies takes the engine away at each call of a launch, with every
// connection, and brings it back when the launcher has given up.
func TestEngineDies(t *testing.T) {
	needAll(t)
	p := newPlace(t).warm()
	n := calls(p, p.life)
	p.back("a launch", true)
	for i := range n {
		p.proxy.Rules(faultproxy.Rule{N: i + 1, Fault: faultproxy.Hold, Held: func() { _ = p.proxy.Down(i%2 == 0) }})
		got := p.life()
		what := "the engine dies at " + p.disturbed(i+1)
		if p.proxy.Hits() > 0 {
			while := p.run("ps")
			if while.code != 0 {
				t.Errorf("%s: ps without an engine: %+v", what, while)
			}
			p.check(p.proxy.Again(t.Context()))
		}
		p.proxy.Rules()
		p.reports(what, got)
		p.back(what, got.wrote())
	}
}

// TestEngineDiesAtWork takes it away while the agent works.
func TestEngineDiesAtWork(t *testing.T) {
	p := newPlace(t).warm()
	launcher := p.agentAtWork()
	p.check(p.proxy.Down(false))
	got := p.endWork(launcher)
	if got.code == 0 {
		t.Errorf("the engine died: %+v", got)
	}
	p.reports("the engine died at work", got)
	p.check(p.proxy.Again(t.Context()))
	p.back("the engine died at work", true)
}
