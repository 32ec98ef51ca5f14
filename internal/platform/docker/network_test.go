package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// TestEgressNetworkVanishes: launches come and go at once, so that the last
// run of the moment removes what the next is about to use.
func TestEgressNetworkVanishes(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	var all sync.WaitGroup
	for range 3 {
		p := b.platform(t)
		all.Go(func() {
			for range 3 {
				if err := comeAndGo(p, spec); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func comeAndGo(p *Platform, spec bottle.Spec) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	plan, err := p.Prepare(ctx, spec)
	if err != nil {
		return err
	}
	i, err := p.Launch(ctx, plan, environ.Secrets{})
	if err != nil {
		return err
	}
	exit, err := i.Exec(ctx, wire.Start{Argv: []string{"true"}}, wire.Streams{})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("true: %+v", exit)
	}
	return errors.Join(err, i.Close())
}

// TestEgressNetworkRemoved takes the network away between its being found and
// the gateway's start.
func TestEgressNetworkRemoved(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	launching, err := bottle.Begin(b.store, plan, runs.Place{Endpoint: plan.Docker.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := p.newLaunch(e, launching, plan)
	defer func() {
		if err := l.remove(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if err := l.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.writeFiles(); err != nil {
		t.Fatal(err)
	}
	if err := l.createGateway(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.removeNetwork(t.Context(), l.parts.EgressID); err != nil {
		t.Fatal(err)
	}
	err = l.startGateway(t.Context(), l.instance(), environ.Secrets{})
	if !errors.Is(err, errEgressGone) {
		t.Errorf("start after the network went: %v, want %v", err, errEgressGone)
	}
}

// bridged changes a plan to that of a runtime that passes no socket on.
func (b *bench) bridged(t *testing.T, plan *bottle.Plan) {
	t.Helper()
	host, err := hostNetworks()
	if err != nil {
		t.Fatal(err)
	}
	e, err := b.platform(t).engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, used, err := e.networkNames(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	runtime := plan.Docker.Runtime
	plan.Docker.Runtime, plan.Docker.Alone = "another", false
	err = chooseNetwork(plan.Docker, plan.Name, observed{
		Run: plan.Run, EngineNetworks: used, HostNetworks: host, Unchecked: sourcesUnchecked(),
	})
	if err != nil {
		t.Fatal(err)
	}
	plan.Docker.Runtime = runtime
}

// TestSubnetTaken: somebody else takes the planned range first.
func TestSubnetTaken(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	p := b.platform(t)
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	b.bridged(t, &plan)
	first, err := p.Launch(t.Context(), plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	plan.Run = b.store.Propose()
	second, err := p.Launch(t.Context(), plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if got, want := second.Name(), plan.Name+"-2"; got != want {
		t.Errorf("the second is called %s, want %s", got, want)
	}
	info, _, err := b.store.Load(second.Run())
	if err != nil || info.Name != second.Name() {
		t.Errorf("its ledger says %q, %v", info.Name, err)
	}
}

// TestEgressNetworkOfARunThatAnotherEnds: another process removes the gateway
// and may be killed before it removes the network, so the run's own launcher
// waits for the one and removes the other. The gateway of another run keeps it.
func TestEgressNetworkOfARunThatAnotherEnds(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	e, err := b.platform(t).engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	owner := ownerOf(os.Getuid(), b.store.Root())
	egress, err := e.ensureEgress(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := e.createContainer(t.Context(), "gateway-create", client.ContainerCreateOptions{
		Config: &container.Config{Image: tinyImage, Cmd: []string{"true"}, Labels: map[string]string{
			labelOwner: owner, labelRole: roleGateway, labelRun: "ending",
		}},
		HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(egress)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.removeEgress(t.Context(), owner, "another"); err != nil {
		t.Error(err)
	}
	if left := b.objects(t); len(left) != 2 {
		t.Errorf("beside the gateway of another run there is %v", left)
	}
	removed := make(chan error)
	go func() { removed <- e.removeEgress(t.Context(), owner, "ending") }()
	if err := e.removeContainer(t.Context(), gateway); err != nil {
		t.Error(err)
	}
	if err := <-removed; err != nil {
		t.Error(err)
	}
}
