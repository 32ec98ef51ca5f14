package docker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
)

// errSubnetTaken says that the engine has another network in the chosen
// range: somebody was faster.
var errSubnetTaken = errors.New("the subnet is taken")

// isolatedMode is the first API that knows a bridge without any address of
// the host's.
const isolatedMode = "1.48"

// createInternal makes a run's network. The host has no address on it: an
// agent could otherwise reach whatever listens on a bridge address.
func (e *engine) createInternal(ctx context.Context, plan bottle.Plan, name string, addresses addressing) (string, error) {
	options := map[string]string{"com.docker.network.bridge.inhibit_ipv4": "true"}
	if e.knows(isolatedMode) {
		options["com.docker.network.bridge.gateway_mode_ipv4"] = "isolated"
	}
	result, err := e.createNetwork(ctx, "network-create", name, client.NetworkCreateOptions{
		Driver: "bridge", Internal: true, EnableIPv6: new(bool),
		IPAM:    &network.IPAM{Config: []network.IPAMConfig{{Subnet: addresses.Subnet}}},
		Options: options, Labels: labels(plan, roleBottle),
	})
	if err != nil && subnetTaken(err) {
		return "", fmt.Errorf("%w: %w", errSubnetTaken, err)
	}
	if err != nil {
		return "", fmt.Errorf("create network %s (%s): %w", name, addresses.Subnet, err)
	}
	return result.ID, nil
}

// createNetwork creates one. call names the failpoint.
func (e *engine) createNetwork(ctx context.Context, call, name string, options client.NetworkCreateOptions) (client.NetworkCreateResult, error) {
	if e.breach.network != nil {
		e.breach.network(call, &options)
	}
	return askWhole(ctx, call, callLimit, func(ctx context.Context) (client.NetworkCreateResult, error) {
		result, err := e.NetworkCreate(ctx, name, options)
		e.heard(err)
		return result, err
	})
}

// subnetTaken tells by the engine's words, since it answers with status 403
// or 500 for this and for anything else.
func subnetTaken(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "overlap") || strings.Contains(text, "conflicts with network")
}

// ensureEgress returns the id of the owner's egress network, making it when it
// is missing. Two launches may make one each: the oldest is taken by all, and
// one of ours that is not it goes again. Should both live on for a moment,
// that does no harm: either is as closed as the other, and both are labelled.
func (e *engine) ensureEgress(ctx context.Context, owner string) (string, error) {
	for range attempts {
		found, err := e.egressNetworks(ctx, owner)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return found[0].ID, nil
		}
		mine, err := e.createEgress(ctx, owner)
		if err != nil {
			return "", err
		}
		if found, err = e.egressNetworks(ctx, owner); err != nil {
			return "", err
		}
		if len(found) == 0 {
			continue // a run that ended just now took it for its own
		}
		if found[0].ID != mine {
			_ = e.removeNetwork(ctx, mine)
		}
		return found[0].ID, nil
	}
	return "", fmt.Errorf("create network %s: others removed it %d times", egressName(owner), attempts)
}

// egressNetworks are the owner's, the oldest first.
func (e *engine) egressNetworks(ctx context.Context, owner string) ([]network.Summary, error) {
	found, err := e.networks(ctx, map[string]string{labelOwner: owner, labelRole: roleEgress})
	if err != nil {
		return nil, err
	}
	sortByAge(found)
	return found, nil
}

// createEgress makes the owner's egress network. On it gateways do not reach
// each other. The range is the engine's choice, from the pools its
// administrator gave it, until those are used up.
func (e *engine) createEgress(ctx context.Context, owner string) (string, error) {
	options := client.NetworkCreateOptions{
		Driver: "bridge", EnableIPv6: new(bool),
		Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"},
		Labels:  map[string]string{labelOwner: owner, labelRole: roleEgress},
	}
	name := egressName(owner) + "." + strings.ToLower(rand.Text()[:6])
	result, err := e.createNetwork(ctx, "egress-create", name, options)
	if err != nil && poolsUsedUp(err) {
		_, used, listing := e.networkNames(ctx)
		if listing != nil {
			return "", listing
		}
		host, _ := hostNetworks()
		subnet, choosing := chooseSubnet(owner, egressBits, used, host)
		if choosing != nil {
			return "", choosing
		}
		options.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet}}}
		result, err = e.createNetwork(ctx, "egress-create", name, options)
	}
	if err != nil {
		return "", hint.With(fmt.Errorf("create network %s: %w", name, err),
			"`docker network ls` shows what there is, `docker network prune` removes what nothing uses")
	}
	return result.ID, nil
}

func poolsUsedUp(err error) bool {
	text := err.Error()
	return strings.Contains(text, "non-overlapping") || strings.Contains(text, "fully subnetted")
}

// networks are those that carry all of the labels.
func (e *engine) networks(ctx context.Context, labels map[string]string) ([]network.Summary, error) {
	result, err := ask(ctx, "network-list", callLimit, func(ctx context.Context) (client.NetworkListResult, error) {
		return e.NetworkList(ctx, client.NetworkListOptions{Filters: labelFilters(labels)})
	})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	return result.Items, nil
}

// removeNetwork removes one by id or name. One that is missing is removed.
func (e *engine) removeNetwork(ctx context.Context, id string) error {
	_, err := ask(ctx, "network-remove", callLimit, func(ctx context.Context) (client.NetworkRemoveResult, error) {
		return e.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
	})
	if err != nil && !gone(err) {
		return fmt.Errorf("remove network %s: %w", id, err)
	}
	return nil
}

// Between tries to remove a network whose containers another process is
// removing just now, and how long that may take.
const (
	releasePause = 50 * time.Millisecond
	releaseLimit = 10 * time.Second
)

// removeInternal removes a run's network, whose containers are removed
// already, by us or by somebody who is not quite through.
func (e *engine) removeInternal(ctx context.Context, id string) error {
	overdue := time.NewTimer(releaseLimit)
	defer overdue.Stop()
	for {
		err := e.removeNetwork(ctx, id)
		if !inUse(err) {
			return err
		}
		select {
		case <-time.After(releasePause):
		case <-overdue.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// removeEgress removes the owner's egress network unless a gateway of another
// run than the one that ends uses it, or is about to: engine 20.10 keeps a
// network for ever when it was taken from under a container that starts. The
// gateway of the run that ends was removed before, but maybe by another
// process, which is not quite through and may be killed before it comes here:
// then nobody else would remove the network. An empty run is none.
func (e *engine) removeEgress(ctx context.Context, owner string, ending runs.ID) error {
	overdue := time.NewTimer(releaseLimit)
	defer overdue.Stop()
	for {
		gateways, err := e.containers(ctx, map[string]string{labelOwner: owner, labelRole: roleGateway})
		if err != nil {
			return err
		}
		if len(gateways) == 0 {
			break
		}
		for _, gateway := range gateways {
			if ending == "" || gateway.Labels[labelRun] != string(ending) {
				return nil
			}
		}
		select {
		case <-time.After(releasePause):
		case <-overdue.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	found, err := e.egressNetworks(ctx, owner)
	if err != nil {
		return err
	}
	for _, network := range found {
		if err := e.removeNetwork(ctx, network.ID); err != nil && !inUse(err) {
			return err
		}
	}
	return nil
}

func inUse(err error) bool {
	return err != nil && strings.Contains(err.Error(), "has active endpoints")
}

func labels(plan bottle.Plan, role string) map[string]string {
	return map[string]string{
		labelOwner: plan.Docker.Owner, labelRun: string(plan.Run), labelRole: role,
		labelAgent: plan.Spec.Agent, labelManifest: plan.Spec.Manifest,
	}
}

func runLabels(owner string, run runs.ID) map[string]string {
	return map[string]string{labelOwner: owner, labelRun: string(run)}
}

func labelFilters(labels map[string]string) client.Filters {
	filters := client.Filters{}
	for name, value := range labels {
		filters.Add("label", name+"="+value)
	}
	return filters
}

func sortByAge(found []network.Summary) {
	slices.SortFunc(found, func(a, b network.Summary) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
}
