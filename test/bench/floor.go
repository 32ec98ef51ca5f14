package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"claude-bottle/test/engine"
)

// floor is what the engine alone takes for containers and networks like those
// of a bottle, asked for as early and as much at once as it can be: no process
// of ours, no file, no ledger, no probe. It is ready when both containers run.
type floor struct {
	*bench
	runtime string
	api     *client.Client
	round   int
	// apart says that a bottle's agent has no network of the engine's at all,
	// so that the shared one, which its gateway is on, is the only one.
	apart bool
}

func newFloor(ctx context.Context, b *bench, runtime string) (*floor, error) {
	host, err := engine.Find(ctx)
	if err != nil {
		return nil, err
	}
	api, err := client.New(client.WithHost(host))
	if err != nil {
		return nil, err
	}
	f := &floor{bench: b, runtime: runtime, api: api}
	return f, f.learn(ctx)
}

// learn looks at what a bottle has.
func (f *floor) learn(ctx context.Context) (err error) {
	h, err := hold(f.ours(ctx, "start", "hold-"+f.runtime, "--yes"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.end()) }()
	if err := h.ready(); err != nil {
		return err
	}
	name, err := f.bottleName(ctx)
	if err != nil {
		return err
	}
	found, err := f.api.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err == nil {
		f.apart = found.Container.HostConfig.NetworkMode.IsNone()
	}
	return err
}

// floorSubnet is in a range that neither the engine nor bottles take from.
var floorSubnet = netip.MustParsePrefix("10.99.255.0/29")

func (f *floor) launch(ctx context.Context) (took, error) {
	f.round++
	begin := time.Now()
	ids, err := f.up(ctx)
	ready := time.Since(begin)
	err = errors.Join(err, f.down(context.WithoutCancel(ctx), ids))
	return took{ready, time.Since(begin)}, err
}

// made are ids; those that are empty were not made.
type made struct{ inside, outside, agent, gateway string }

func (f *floor) up(ctx context.Context) (made, error) {
	var ids made
	name := fmt.Sprintf("%s-floor-%d", f.id, f.round)
	inside, outside := make(chan struct{}), make(chan struct{})
	agent := container.HostConfig{NetworkMode: container.NetworkMode(name), Runtime: f.runtime}
	gateway := container.HostConfig{NetworkMode: container.NetworkMode(name), Runtime: "runc"}
	if f.apart {
		agent.NetworkMode, gateway.NetworkMode = "none", container.NetworkMode(name+"-outside")
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		defer close(inside)
		if !f.apart {
			ids.inside, err = f.network(ctx, client.NetworkCreateOptions{
				Internal: true, IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: floorSubnet}}},
				Options: map[string]string{"com.docker.network.bridge.inhibit_ipv4": "true"},
			}, name)
		}
		return err
	})
	group.Go(func() (err error) {
		defer close(outside)
		ids.outside, err = f.network(ctx, client.NetworkCreateOptions{}, name+"-outside")
		return err
	})
	group.Go(func() (err error) {
		if ids.agent, err = f.create(ctx, name, &agent); err != nil {
			return err
		}
		<-inside
		return f.start(ctx, ids.agent)
	})
	group.Go(func() (err error) {
		if ids.gateway, err = f.create(ctx, name+"-gateway", &gateway); err != nil {
			return err
		}
		<-outside
		if err := f.connect(ctx, ids); err != nil {
			return err
		}
		<-inside
		return f.start(ctx, ids.gateway)
	})
	err := group.Wait()
	return ids, err
}

// connect gives the gateway its second network, where it has two.
func (f *floor) connect(ctx context.Context, ids made) error {
	if f.apart {
		return nil
	}
	_, err := f.api.NetworkConnect(ctx, ids.outside, client.NetworkConnectOptions{
		Container: ids.gateway, EndpointConfig: &network.EndpointSettings{},
	})
	return err
}

func (f *floor) network(ctx context.Context, options client.NetworkCreateOptions, name string) (string, error) {
	options.Driver, options.Labels = "bridge", map[string]string{label: f.id}
	result, err := f.api.NetworkCreate(ctx, name, options)
	return result.ID, err
}

func (f *floor) create(ctx context.Context, name string, host *container.HostConfig) (string, error) {
	host.LogConfig = container.LogConfig{Type: "none"}
	result, err := f.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: name, HostConfig: host,
		Config: &container.Config{Image: f.image, Cmd: []string{"sleep", "infinity"}, Labels: map[string]string{label: f.id}},
	})
	return result.ID, err
}

func (f *floor) start(ctx context.Context, id string) error {
	_, err := f.api.ContainerStart(ctx, id, client.ContainerStartOptions{})
	return err
}

// down removes each network as soon as nothing is on it.
func (f *floor) down(ctx context.Context, ids made) error {
	var onInside, onOutside error
	gatewayGone := make(chan struct{})
	var removing sync.WaitGroup
	removing.Go(func() {
		onOutside = f.remove(ctx, ids.gateway)
		close(gatewayGone)
		onOutside = errors.Join(onOutside, f.removeNetwork(ctx, ids.outside))
	})
	removing.Go(func() {
		onInside = f.remove(ctx, ids.agent)
		<-gatewayGone
		onInside = errors.Join(onInside, f.removeNetwork(ctx, ids.inside))
	})
	removing.Wait()
	return errors.Join(onInside, onOutside)
}

func (f *floor) remove(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	_, err := f.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	return err
}

func (f *floor) removeNetwork(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	_, err := f.api.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
	return err
}
