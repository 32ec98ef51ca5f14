package faults_test

import (
	"os"
	"strings"
	"testing"

	"github.com/moby/moby/client"

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

// TestEngineRestarted stops a real engine as its administrator does, while an
// agent works and while a launcher that died has left a bottle, and starts it
// again.
func TestEngineRestarted(t *testing.T) {
	needAll(t)
	k := &killable{t: t}
	k.replace()
	launcher := k.place.agentAtWork()
	k.place.check(k.apart.Stop())
	k.place.reports("the engine stopped at work", k.place.endWork(launcher))
	if k.again("at work") {
		k.place.back("the engine restarted at work", true)
	}
	k.place.orphan()
	k.place.check(k.apart.Stop())
	if k.again("before a sweep") {
		k.place.back("the engine restarted before a sweep", true)
	}
}

// TestAnotherEngine has another engine answer at the address of the one that a
// run was on, for some commands: what the run left is not forgotten.
func TestAnotherEngine(t *testing.T) {
	needAll(t)
	_, another := engine.Need(t)
	k := &killable{t: t}
	k.replace()
	p := k.place
	p.orphan()
	tally.requests.Add(1)
	p.check(p.proxy.To(another))
	for range 2 {
		got := p.run("ps", "--all")
		if got.code != 0 || !strings.Contains(got.stderr, "another engine has what the run left") || !strings.Contains(got.stdout, p.agent) {
			t.Errorf("with another engine: %+v", got)
		}
	}
	if marks := p.work("marker"); len(marks) != 1 || marks[0] != "kept\n" {
		t.Errorf("with another engine the work is %q", marks)
	}
	filters := client.Filters{}.Add("label", "claude-bottle.owner="+p.owner)
	left, err := p.api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: filters})
	if err != nil || len(left.Items) == 0 {
		t.Errorf("its own engine has %d containers of the run, %v", len(left.Items), err)
	}
	p.check(p.proxy.To(k.apart.Host()))
	p.back("its engine is back", true)
}
