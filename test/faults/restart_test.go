package faults_test

import (
	"fmt"
	"os"
	"testing"

	"claude-bottle/test/engine"
	"claude-bottle/test/faultproxy"
	"claude-bottle/test/hoststate"
)

// TestEngineKilled kills a real engine, its containerd too every other time, at
// calls of a launch and while an agent works, and starts it again.
func TestEngineKilled(t *testing.T) {
	needAll(t)
	apart, err := engine.StartApart(t.Context(), os.Stderr)
	if err != nil {
		engine.Missing(t, engine.PartOwn, err.Error())
	}
	t.Cleanup(func() {
		if err := apart.Close(); err != nil {
			t.Error(err)
		}
	})
	api, err := apart.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	p := newPlaceAt(t, api, apart.Host(), hoststate.Options{Alone: true, Network: apart.Network(), Mounts: apart.Dirs()}).warm()
	n := calls(p, p.life)
	p.back("a launch", true)
	for i := 1; i <= n; i += 3 {
		p.proxy.Rules(faultproxy.Rule{N: i, Fault: faultproxy.Hold, Held: func() { _ = apart.Kill(i%2 == 0) }})
		got := p.life()
		what := "the engine killed at " + p.disturbed(i)
		if p.proxy.Hits() > 0 {
			p.check(apart.Start(t.Context()))
		}
		p.proxy.Rules()
		p.reports(what, got)
		p.back(what, got.wrote())
	}
	for _, all := range []bool{false, true} {
		launcher := p.agentAtWork()
		p.check(apart.Kill(all))
		tally.requests.Add(1)
		what := fmt.Sprintf("the engine killed at work, containerd too: %v", all)
		p.reports(what, p.endWork(launcher))
		p.check(apart.Start(t.Context()))
		p.back(what, true)
	}
}
