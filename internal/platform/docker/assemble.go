package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
)

// attempts bounds how often a launch gives way to others: for each of them it
// takes another name, another range, or makes the egress network again.
const attempts = 2 * platform.LastSuffix

// assemble creates and starts the run's containers and its network. Whoever
// creates the agent's container has won the name for all of them.
func (l *launch) assemble(ctx context.Context, secrets environ.Secrets) (*instance, error) {
	for range attempts {
		b, err := l.attempt(ctx, secrets)
		if err == nil {
			return b, l.settleName()
		}
		giveWay := l.giveWay(ctx, err)
		if giveWay == nil {
			return nil, err
		}
		if l.made.Agent != "" { // else the name was lost, and nothing made
			l.closeStreams()
			if err := l.engine.removeRun(ctx, l.plan.Docker.Owner, l.Run.ID()); err != nil {
				return nil, err
			}
		}
		if err := giveWay(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("launch %s: others were faster %d times", l.parts.Names.Agent, attempts)
}

// giveWay returns what to change before the next attempt; nil when err is not
// somebody else's success.
func (l *launch) giveWay(ctx context.Context, err error) func() error {
	switch {
	case ctx.Err() != nil:
		return nil
	case nameTaken(err):
		return func() error { return l.nextName(ctx) }
	case errors.Is(err, errSubnetTaken):
		return func() error { return l.nextSubnet(ctx) }
	case errors.Is(err, errEgressGone):
		return func() error {
			l.egress = promised(func() (string, error) { return l.engine.ensureEgress(ctx, l.plan.Docker.Owner) })
			return nil
		}
	}
	return nil
}

// nextName takes the first name that is free now.
func (l *launch) nextName(ctx context.Context) error {
	if l.plan.Docker.Pinned {
		return errPinnedTaken(l.plan.Name)
	}
	slug := l.plan.Spec.Slug
	taken, err := l.engine.namesInUse(ctx, platform.BottleName(slug, 1))
	if err != nil {
		return err
	}
	name, err := freeName(slug, taken)
	if err != nil {
		return err
	}
	l.parts.Names = namesOf(name)
	return l.Run.Record(l.resources()...)
}

// settleName makes the ledger say which name was won, and none that was not.
func (l *launch) settleName() error {
	won := l.resources()
	lost := slices.DeleteFunc(l.Run.Resources(), func(r runs.Resource) bool { return slices.Contains(won, r) })
	if len(lost) == 0 {
		return nil
	}
	if err := l.Run.Forget(lost...); err != nil {
		return err
	}
	return l.Run.Update(func(info *runs.Info) { info.Name = l.parts.Names.Agent })
}

func (l *launch) nextSubnet(ctx context.Context) error {
	_, used, err := l.engine.networkNames(ctx)
	if err != nil {
		return err
	}
	host, err := hostNetworks()
	if err != nil {
		return err
	}
	subnet, err := chooseSubnet(rand.Text(), bottleBits, used, host)
	if err != nil {
		return err
	}
	l.parts.Addresses = addressingOf(subnet)
	return nil
}

// attempt makes everything once, under the name and in the range that parts
// hold. Each part waits for what it needs and for nothing else: the agent
// starts while the egress network, the slowest to make, is still being made.
func (l *launch) attempt(ctx context.Context, secrets environ.Secrets) (_ *instance, err error) {
	l.made = made{}
	if err := l.writeFiles(); err != nil {
		return nil, err
	}
	l.made.Agent, err = l.engine.createContainer(ctx, "agent-create", agentOptions(l.plan, l.parts))
	if err != nil {
		return nil, err
	}
	b := l.instance()
	others := promised(func() ([]neighbour, error) { return l.engine.neighbours(ctx, l.plan.Docker.Owner, string(l.Run.ID())) })
	defer others.settle()
	networked := make(chan struct{})
	group, together := errgroup.WithContext(ctx)
	group.Go(func() error { return l.createInternal(together, networked) })
	group.Go(func() error { return l.bringUpGateway(together, networked, b, secrets) })
	group.Go(func() error { return l.bringUpAgent(together, networked, b, secrets) })
	if err = group.Wait(); err == nil {
		err = l.endHandover()
	}
	if err == nil {
		err = l.prove(ctx, b, others)
	}
	if err != nil {
		return nil, withLastOutput(err, l.made)
	}
	l.made.whole = true
	b.made, b.gatewayID = l.made, l.made.Gateway
	b.watch(l.plan.Spec.Limits.Disk, l.parts.Paths)
	return b, nil
}

// createInternal makes the bottle's network, if it gets one.
func (l *launch) createInternal(ctx context.Context, done chan<- struct{}) (err error) {
	if !l.plan.Docker.Alone {
		l.made.Network, err = l.engine.createInternal(ctx, l.plan, l.parts.Names.Network, l.parts.Addresses)
	}
	if err == nil {
		close(done)
	}
	return err
}

func (l *launch) bringUpGateway(ctx context.Context, networked <-chan struct{}, b *instance, secrets environ.Secrets) error {
	if err := l.createGateway(ctx); err != nil {
		return err
	}
	if err := await(ctx, networked); err != nil {
		return err
	}
	return l.startGateway(ctx, b, secrets)
}

func (l *launch) bringUpAgent(ctx context.Context, networked <-chan struct{}, b *instance, secrets environ.Secrets) (err error) {
	l.made.agent, err = l.engine.attach(ctx, "agent-attach", l.made.Agent)
	if err != nil {
		return err
	}
	if err := await(ctx, networked); err != nil {
		return err
	}
	return l.startAgent(ctx, b, secrets)
}

func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errEgressGone says that the last run but this one removed the egress network
// between our finding it and our using it.
var errEgressGone = errors.New("the egress network is gone")

func (l *launch) createGateway(ctx context.Context) (err error) {
	if l.parts.GatewayImage, err = l.gatewayImage.wait(); err != nil {
		return err
	}
	if l.plan.Docker.Alone { // the egress network is its first
		if l.parts.EgressID, err = l.egress.wait(); err != nil {
			return err
		}
	}
	l.made.Gateway, err = l.engine.createContainer(ctx, "gateway-create", gatewayOptions(l.plan, l.parts))
	if err != nil {
		return err
	}
	if err = l.connectGateway(ctx); err != nil {
		return err
	}
	l.made.gateway, err = l.engine.attach(ctx, "gateway-attach", l.made.Gateway)
	return err
}

// connectGateway puts the gateway of a bottle with a network on the egress
// network too.
func (l *launch) connectGateway(ctx context.Context) (err error) {
	if l.plan.Docker.Alone {
		return nil
	}
	if l.parts.EgressID, err = l.egress.wait(); err != nil {
		return err
	}
	_, err = askWhole(ctx, "gateway-connect", callLimit, func(ctx context.Context) (client.NetworkConnectResult, error) {
		return l.engine.NetworkConnect(ctx, l.parts.EgressID, client.NetworkConnectOptions{
			Container: l.made.Gateway, EndpointConfig: &network.EndpointSettings{},
		})
	})
	if notFound(err) {
		return fmt.Errorf("%w: %w", errEgressGone, err)
	}
	if err != nil {
		return fmt.Errorf("connect %s to the egress network: %w", l.parts.Names.Gateway, err)
	}
	return nil
}
