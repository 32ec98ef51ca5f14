package docker

import (
	"context"
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/bottle/bottletest"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/runs"
	testengine "claude-bottle/test/engine"
	"claude-bottle/test/variant"
)

// door is a way to open a bottle on purpose, and what the probe must say.
type door struct {
	open func(t *testing.T, b *bench, e *engine)
	// variant changes our program; nil for none.
	variant variant.Variant
	want    []string // checks that fail, as bottletest.Check has them
	// sealed says why gVisor does not let the door be opened.
	sealed string
	// plan changes what is launched; nil for nothing.
	plan func(plan *bottle.Plan)
}

// kind is a kind of bottle, whose doors are not those of another.
type kind struct {
	name    string
	runtime bottle.Isolation
	// bridged gives a bottle on runc the network of one whose runtime is
	// unknown.
	bridged bool
	tables  []map[string]door
	// seen gathers what was open; kinds on one kernel share it.
	seen   *bottletest.Doors
	sealed map[string]string // checks that cannot be opened, and why
}

// TestDoors opens every door that a launch checks, one in each launch: it
// fails, says which, and is undone. In the end each check that a launch makes
// has been seen to fail, but for those that are declared.
func TestDoors(t *testing.T) {
	programs := variant.Open(t)
	var linux, gvisor, gateways bottletest.Doors
	kinds := []kind{
		{"runc", bottle.Runc, false, []map[string]door{doors, loneDoors}, &linux, sealedAlone},
		{"another runtime", bottle.Runc, true, []map[string]door{rootDoors, networkDoors}, &linux, sealedBridged},
		{"runsc", bottle.Runsc, false, []map[string]door{doors, rootDoors, networkDoors}, &gvisor, sealedGvisor},
		{"gateway", bottle.Runc, false, []map[string]door{gatewayDoors}, &gateways, nil},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { k.openAll(t, programs) })
	}
	if strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		t.Log("some doors only: what was not opened is not looked for")
		return
	}
	for _, k := range kinds[:3] {
		t.Run("all of "+k.name, func(t *testing.T) {
			k.need(t)
			sealed := maps.Clone(k.sealed)
			if !kernelHasIPv6() {
				sealed["network: no IPv6"] = "the kernel has none"
			}
			bottletest.Cover(t, k.closed(t), sealed, k.seen, &gateways)
		})
	}
}

func (k kind) need(t *testing.T) {
	t.Helper()
	if k.runtime == bottle.Runsc {
		testengine.NeedGvisor(t)
	}
}

func (k kind) openAll(t *testing.T, programs *variant.Workshop) {
	k.need(t)
	for _, table := range k.tables {
		for name, d := range table {
			t.Run(name, func(t *testing.T) {
				if k.runtime == bottle.Runsc && d.sealed != "" {
					t.Skipf("cannot be opened: %s", d.sealed)
				}
				t.Parallel()
				k.expectOpen(t, d, programs)
			})
		}
	}
}

// plan is of a bottle of this kind.
func (k kind) plan(t *testing.T, b *bench, p *Platform) bottle.Plan {
	t.Helper()
	spec := b.spec()
	spec.Isolation = k.runtime
	spec.Egress = policy.Egress{Allow: []policy.Allow{{Host: "allowed.example"}}}
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if k.bridged {
		b.bridged(t, &plan)
	}
	return plan
}

// openings is how often a door is opened: on a machine that is busy an answer
// may come after the probe's deadline, when the launch has failed for the others.
const openings = 4

// expectOpen launches with a door open.
func (k kind) expectOpen(t *testing.T, d door, programs *variant.Workshop) {
	t.Helper()
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	if d.variant != nil {
		p.config.Binary = programs.Build(t, d.variant)
	}
	e, err := p.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.open != nil {
		d.open(t, b, e)
	}
	missing := d.want
	for n := 0; n < openings && (n == 0 || len(missing) > 0); n++ {
		plan := k.plan(t, b, p)
		if d.plan != nil {
			d.plan(&plan)
		}
		missing = k.seen.Open(t, launchOpen(t, p, plan), missing)
		if left, err := b.store.List(); err != nil || slices.ContainsFunc(left, func(i runs.Info) bool { return i.ID == plan.Run }) {
			t.Errorf("the launch was not undone: %+v, %v", left, err)
		}
	}
	if len(missing) > 0 {
		t.Errorf("nothing about %q", missing)
	}
}

// launchOpen is why a launch failed, which is open and must not live.
func launchOpen(t *testing.T, p *Platform, plan bottle.Plan) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	launched, err := p.Launch(ctx, plan, environ.Secrets{})
	if err == nil {
		_ = launched.Close()
		t.Fatal("the bottle is open, and was launched")
	}
	return err
}

// closed is what is found in a bottle of this kind that is as it should be.
func (k kind) closed(t *testing.T) probe.Verdict {
	t.Helper()
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	launched, err := p.Launch(t.Context(), k.plan(t, b, p), environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := launched.Close(); err != nil {
			t.Error(err)
		}
	}()
	return bottletest.Verdict(t, b.store, launched.Run())
}

// TestHandoverIsOfTheAgentsUser: from a guest that is somebody else, be it
// root, a gateway takes no listener, and the launch is undone.
func TestHandoverIsOfTheAgentsUser(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	e, err := p.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	onAgent(asRoot)(t, b, e)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	launched, err := p.Launch(t.Context(), plan, environ.Secrets{})
	if err == nil {
		_ = launched.Close()
	}
	// The gateway says why, unless the guest was first to say that it was cut off.
	if err == nil || !strings.Contains(err.Error(), "the peer has uid 0") &&
		!strings.Contains(err.Error(), "hand the ways in over") {
		t.Errorf("launch: %v", err)
	}
}
