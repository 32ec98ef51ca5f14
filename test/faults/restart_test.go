package faults_test

import (
	"os"
	"testing"

	"claude-bottle/test/engine"
	"claude-bottle/test/faultproxy"
	"claude-bottle/test/hoststate"
)

// killable is a place with a real engine that may be killed, one after the
// other: engine 20.10 that was killed while it removed a network may not start
// again (it panics when it reads its own notes), and is replaced.
type killable struct {
	t     *testing.T
	apart *engine.Apart
	place *place
}

func (k *killable) replace() {
	k.t.Helper()
	apart, err := engine.StartApart(k.t.Context(), os.Stderr)
	if err != nil {
		engine.Missing(k.t, engine.PartOwn, err.Error())
	}
	k.t.Cleanup(func() {
		if err := apart.Close(); err != nil {
			k.t.Error(err)
		}
	})
	api, err := apart.Client()
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { api.Close() })
	options := hoststate.Options{Alone: true, Network: apart.Network(), Dirs: apart.Dirs()}
	k.apart, k.place = apart, newPlaceAt(k.t, api, apart.Host(), runc, options).warm()
	// Of a network that it was making when it was killed, an engine forgets the
	// bridge and its rules. Nobody else may remove those.
	k.place.but = []string{"interface", "rule"}
}

// again starts the engine after it was killed; false when it was replaced.
func (k *killable) again(what string) bool {
	k.t.Helper()
	tally.requests.Add(1)
	if err := k.apart.Start(k.t.Context()); err != nil {
		k.t.Logf("%s: the engine itself does not start again: %.200s", what, err)
		k.place.abandoned = true
		k.replace()
		return false
	}
	return true
}

// TestEngineKilled kills a real engine, containerd included, at calls of a
// launch and while an agent works, and starts it again.
func TestEngineKilled(t *testing.T) {
	needAll(t)
	k := &killable{t: t}
	k.replace()
	n := calls(k.place, k.place.life)
	k.place.back("a launch", true)
	for i := 1; i <= n; i += 3 {
		p, apart := k.place, k.apart
		p.proxy.Rules(faultproxy.Rule{N: i, Fault: faultproxy.Hold, Held: func() { _ = apart.Kill() }})
		got := p.life()
		what := "the engine killed at " + p.disturbed(i)
		killed := p.proxy.Hits() > 0
		p.proxy.Rules()
		p.reports(what, got)
		if !killed || k.again(what) {
			p.back(what, got.wrote())
		}
	}
	p := k.place
	launcher := p.agentAtWork()
	p.check(k.apart.Kill())
	p.reports("the engine killed at work", p.endWork(launcher))
	if k.again("at work") {
		p.back("the engine killed at work", true)
	}
}
