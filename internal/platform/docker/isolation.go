package docker

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/platform"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// maxNeighbours bounds how many other bottles a launch tries to reach: 64 at
// once would else make 64 times 64 attempts.
const maxNeighbours = 8

// engineResolver is where an engine's own name server is in every container on
// a network of its, whatever resolv.conf says.
var engineResolver = netip.MustParseAddrPort("127.0.0.11:53")

// resolverForwardsNot is the first API of engines whose name server forwards
// nothing from an internal network (CVE-2024-29018), and says SERVFAIL.
const resolverForwardsNot = "1.45"

// kernel is what a runtime's kernel reports of a confined process: our filter,
// and on Linux below it the engine's.
func (p *proof) kernel(runtime string) wire.Kernel {
	switch {
	case runtime == "runsc":
		// Its own fuse and tun are files of the sandbox's own kernel.
		return wire.Kernel{Name: "gVisor", Seccomp: "2", NoNewPrivs: "1", Devices: []string{"fuse", "net/tun"}}
	case p.plan.Docker.EngineFilter:
		return wire.Kernel{Name: linux, Seccomp: "2", NoNewPrivs: "1", Filters: 2}
	}
	return wire.Kernel{Name: linux, Seccomp: "2", NoNewPrivs: "1", Filters: 1}
}

// linux is a kernel's name where it is the host's own.
const linux = "Linux"

// proof is one launch's probe.
type proof struct {
	*launch
	bottle     *instance
	hosts      *probe.Hosts
	doors      []wire.Door // of the host
	neighbours []neighbour
	verdict    probe.Verdict
}

// neighbour is another run's container that runs.
type neighbour struct {
	addresses []netip.Addr // on the run's own network
	port      int          // of its gateway's proxy, where it is pipelock's
	egress    []netip.Addr
}

// prove shows that the bottle is closed, and its gateway open to it alone. Any
// door that is open is an error, which undoes the launch.
func (l *launch) prove(ctx context.Context, b *instance, others *promise[[]neighbour]) error {
	began := time.Now()
	hosts, err := probe.OpenHosts(ctx, l.word)
	if err != nil {
		return err
	}
	defer func() { _ = hosts.Close() }()
	p := &proof{launch: l, bottle: b, hosts: hosts}
	if p.doors, err = hosts.Doors(); err != nil {
		return err
	}
	if p.neighbours, err = others.wait(); err != nil {
		return err
	}
	if l.engine.breach.hosts != nil {
		l.engine.breach.hosts(hosts)
	}
	if err := p.all(ctx); err != nil {
		return err
	}
	p.verdict.Took = time.Since(began)
	if err := p.verdict.Err(); err != nil {
		return err
	}
	if err := platform.SameMounts(l.plan.Mounts); err != nil { // before a container of gVisor's had started, it was
		return err
	}
	l.Verdict = p.verdict
	return b.gateway.Settle(ctx, wire.Settle{Summary: p.verdict.Summary()})
}

// all makes every part of the probe at once.
func (p *proof) all(ctx context.Context) error {
	var inside, gateway wire.Probed
	var control []wire.Finding
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		inside, err = p.bottle.guest.Probe(ctx, p.request())
		return err
	})
	group.Go(func() (err error) {
		gateway, err = p.bottle.gateway.Probe(ctx, wire.GatewayProbe{
			Deadline: probe.Deadline, Doors: p.otherGateways(), UID: p.plan.Spec.UID, Kernel: p.kernel("runc"),
		})
		return err
	})
	group.Go(func() error {
		control = probe.Outside(ctx, p.legs(), p.word, p.plan.Docker.Ports)
		return nil
	})
	hosts := p.hosts.Control(ctx, p.doors)
	if err := group.Wait(); err != nil {
		return err
	}
	p.verdict.Add(hosts, p.hosts.Overheard(p.plan.Docker.Broadcast))
	p.verdict.Add(control...)
	p.verdict.Add(inside.Findings...)
	p.verdict.Add(gateway.Findings...)
	return nil
}

// request is what the guest is asked to try.
func (p *proof) request() wire.Probe {
	part, spec, addresses := p.plan.Docker, p.plan.Spec, p.parts.Addresses
	request := wire.Probe{
		Deadline: probe.Deadline, Late: probe.Late, Word: p.word,
		Doors:   p.insideDoors(),
		Gateway: addresses.Gateway, Ports: part.Ports,
		Resolver: engineResolver, SilentServfail: !olderAPI(part.APIVersion, resolverForwardsNot),
		UID: spec.UID, GID: spec.GID, Kernel: p.kernel(part.Runtime), Dir: spec.Workspace,
		Alone: part.Alone, Everybody: p.hosts.Everybody(), Bounded: spec.Limits.Disk > 0,
	}
	if !part.Alone {
		request.Own = []netip.Addr{addresses.Agent}
	}
	if request.Kernel.Name == linux { // gVisor has numbers of its own
		request.Mounted = platform.Mounted(p.plan.Mounts)
	}
	if len(spec.Argv) > 0 {
		request.Program = spec.Argv[0]
	}
	request.Names = probe.NamesFor(spec.Egress, p.word)
	if part.Pipelock != nil {
		// It is on no trial: what it allows it would look up, and dial.
		request.Names, request.Health = wire.Names{Refused: request.Refused}, pipelockHealth
	}
	return request
}

func (p *proof) insideDoors() []wire.Door {
	addresses, port := p.parts.Addresses, p.hosts.Port()
	doors := slices.Clone(p.doors)
	if addresses.Engine.IsValid() {
		doors = append(doors, wire.Door{Kind: probe.FarSide, Address: netip.AddrPortFrom(addresses.Engine, port)})
	}
	for _, canary := range p.bottle.gateway.Canaries() {
		doors = append(doors,
			wire.Door{Kind: probe.EgressLeg, Address: canary.Address()},
			wire.Door{Kind: probe.GatewayPort, Address: netip.AddrPortFrom(addresses.Gateway, canary.Port)})
	}
	for _, other := range p.neighbours {
		for _, address := range other.addresses {
			if addresses.Subnet.Contains(address) {
				continue // it ended, and its range is ours now
			}
			doors = append(doors, wire.Door{Kind: probe.Neighbour, Address: netip.AddrPortFrom(address, other.proxy())})
		}
	}
	return doors
}

// otherGateways are those on the same egress network, on which gateways do not
// reach each other. No other is tried: a gateway has a way out, and one that
// ended meanwhile would be looked for in the world; nor its own address, which
// may have been that of another that ended.
func (p *proof) otherGateways() []wire.Door {
	var doors []wire.Door
	for _, other := range p.neighbours {
		for _, address := range other.egress {
			if slices.ContainsFunc(p.legs(), func(c wire.Canary) bool { return c.Leg.Contains(address) && c.Leg.Addr() != address }) {
				doors = append(doors, wire.Door{Kind: probe.Neighbour, Address: netip.AddrPortFrom(address, other.proxy())})
			}
		}
	}
	return doors
}

// legs are the gateway's canaries.
func (p *proof) legs() []wire.Canary { return p.bottle.gateway.Canaries() }

// neighbours are containers of the owner's other runs.
func (e *engine) neighbours(ctx context.Context, owner, run string) ([]neighbour, error) {
	result, err := ask(ctx, "neighbour-list", callLimit, func(ctx context.Context) (client.ContainerListResult, error) {
		return e.ContainerList(ctx, client.ContainerListOptions{Filters: labelFilters(map[string]string{labelOwner: owner})})
	})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var found []neighbour
	for _, summary := range result.Items {
		if summary.Labels[labelRun] != run && len(found) < 2*maxNeighbours {
			found = append(found, neighbourOf(summary))
		}
	}
	return found, nil
}

// proxy is the port of a neighbour's proxy.
func (n neighbour) proxy() uint16 {
	if n.port != 0 {
		return uint16(n.port) //nolint:gosec // G115: a port
	}
	return uint16(wire.StandardPorts.Proxy) //nolint:gosec // G115: a port
}

func neighbourOf(summary container.Summary) neighbour {
	var other neighbour
	other.port, _ = strconv.Atoi(summary.Labels[labelPipelock])
	if summary.NetworkSettings == nil {
		return other
	}
	for name, leg := range summary.NetworkSettings.Networks {
		switch {
		case leg == nil || !leg.IPAddress.IsValid():
		case strings.HasPrefix(name, egressPrefix):
			other.egress = append(other.egress, leg.IPAddress)
		default:
			other.addresses = append(other.addresses, leg.IPAddress)
		}
	}
	return other
}

// filters says whether an engine puts a seccomp filter on containers: it names
// the profile among its security options.
func filters(security []string) bool {
	return slices.ContainsFunc(security, func(option string) bool {
		return strings.HasPrefix(option, "name=seccomp") && !strings.Contains(option, "profile=unconfined")
	})
}
