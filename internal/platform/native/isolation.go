//go:build linux

package native

import (
	"context"
	"os"
	"slices"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/supervise"
	"claude-bottle/internal/wire"
)

// breach changes what a bottle is made of, when the process is there that stands
// in its network namespace, and ends the host's canary. Only tests have one.
type breach struct {
	order func(o *supervise.Order, inside int)
	hosts func(*probe.Hosts)
}

// kernel is what the kernel reports of a confined process: our filter, and no
// other.
func kernel() wire.Kernel {
	return wire.Kernel{Name: "Linux", Seccomp: "2", NoNewPrivs: "1", Filters: 1, Unmapped: os.Getuid() != 0}
}

// gatewayKernel is kernel for a process that no namespace holds.
func gatewayKernel() wire.Kernel {
	k := kernel()
	k.Unbounded = true
	return k
}

// gatewayUnprobed are checks of a gateway that has a machine of its own. This
// one is a process of the host's, whose sockets, routes and root file system
// are there for others too.
var gatewayUnprobed = []string{probe.GatewayPort, probe.Forwarding, probe.Setting}

// canary is the launcher's, on every address of the host: those are the
// gateway's too. It is made, and shown to answer, while the bottle's processes
// start; closing it is the caller's.
type canary struct {
	hosts   *probe.Hosts
	control wire.Finding
	request wire.Probe // what the guest is to try of it, and else
}

func (l *launch) openCanary(ctx context.Context) (_ *canary, err error) {
	hosts, err := probe.OpenHosts(ctx, l.word)
	if err != nil {
		return nil, err
	}
	c := &canary{hosts: hosts}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	doors, err := hosts.Doors()
	if err != nil {
		return nil, err
	}
	if l.platform.breach.hosts != nil {
		l.platform.breach.hosts(hosts)
	}
	if c.request, err = l.request(doors); err != nil {
		return nil, err
	}
	c.request.Alone, c.request.Everybody = true, hosts.Everybody()
	c.control = hosts.Control(ctx, doors)
	return c, nil
}

// close ends it, if it was made.
func (c *canary) close() {
	if c != nil {
		_ = c.hosts.Close()
	}
}

// prove shows that the bottle is closed, by what was found. Any door that is
// open is an error, which undoes the launch.
func (l *launch) prove(ctx context.Context, b *instance, c *canary, inside, gateway wire.Probed) error {
	defer failpoint.Span("native.prove")()
	l.Verdict.Add(c.control, c.hosts.Overheard(false))
	l.Verdict.Add(inside.Findings...)
	l.Verdict.Add(gateway.Findings...)
	l.Verdict.Took = max(inside.Took, gateway.Took)
	if err := l.Verdict.Err(); err != nil {
		return err
	}
	return b.gateway.Settle(ctx, wire.Settle{Summary: l.Verdict.Summary()})
}

// request is what the guest is asked to try.
func (l *launch) request(doors []wire.Door) (wire.Probe, error) {
	part, spec := l.plan.Native, l.plan.Spec
	request := wire.Probe{
		Deadline: probe.Deadline, Late: probe.Late, Word: l.word, Doors: doors,
		Gateway: part.Address, Ports: part.Ports, UID: spec.UID, GID: spec.GID, Kernel: kernel(), Dir: spec.Workspace,
		Nested: spec.Nested, Bounded: spec.Limits.Disk > 0, Mounted: platform.Mounted(slices.Concat(l.plan.Mounts, part.Agent)),
	}
	if len(spec.Argv) > 0 {
		request.Program = spec.Argv[0]
	}
	request.Names = probe.NamesFor(spec.Egress, l.word)
	// Bubblewrap was told paths of the run's, too.
	for name, target := range map[string]string{bottle.HomeDir: spec.Home, bottle.WorkDir: spec.Workspace, bottle.GitDir: spec.Workspace + "/.git"} {
		dev, ino, err := l.Run.Numbers(name)
		if err != nil {
			return request, err
		}
		request.Mounted = append(request.Mounted, wire.Mounted{Path: target, Dev: dev, Ino: ino})
	}
	return request, nil
}

// personsFiles are files that the gateway's user can open, and the gateway
// cannot where the kernel confines it.
func (l *launch) personsFiles() []string {
	if !supervise.HasLandlock() {
		return nil
	}
	files := []string{"/etc/passwd", "/", l.Run.Path(bottle.WorkDir), l.Run.Path(bottle.HomeDir)}
	if os.Getuid() != 0 { // else it cannot open root's home anyway
		files = append(files, l.platform.config.Home)
	}
	return files
}
