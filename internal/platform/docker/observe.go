package docker

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/platform"
)

// Prepare observes engine and host, then calls plan. It creates nothing.
func (p *Platform) Prepare(ctx context.Context, spec bottle.Spec) (bottle.Plan, error) {
	e, err := p.engine(ctx)
	if err != nil {
		return bottle.Plan{}, err
	}
	seen, err := p.observe(ctx, e, spec)
	if err != nil {
		return bottle.Plan{}, err
	}
	return plan(spec, seen)
}

// observe asks the engine all at once: its answers do not depend on each
// other.
func (p *Platform) observe(ctx context.Context, e *engine, spec bottle.Spec) (observed, error) {
	seen := observed{
		Endpoint: e.endpoint, APIVersion: e.apiVersion, Owner: p.owner,
		Settings: readSettings(p.config.Getenv), IPv6: kernelHasIPv6(), Unchecked: sourcesUnchecked(),
	}
	seen.Run = p.config.Store.Propose()
	seen.Dir = p.config.Store.Dir(seen.Run)
	seen.Recipe = recipeOf(seen.Settings, spec.Home, spec.Egress.Roots)
	prefix := seen.Settings.Name
	if prefix == "" {
		prefix = platform.BottleName(spec.Slug, 1)
	}
	var networks map[string]bool
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.observeInfo(ctx, &seen) })
	group.Go(func() (err error) {
		seen.Names, err = e.containerNames(ctx, prefix)
		return err
	})
	group.Go(func() (err error) {
		networks, seen.EngineNetworks, err = e.networkNames(ctx)
		return err
	})
	group.Go(func() (err error) {
		seen.Image, err = e.findImage(ctx, seen.Settings.Image, seen.Recipe.Hash())
		return err
	})
	if spec.Gateway == bottle.Pipelock {
		group.Go(func() (err error) {
			seen.Pipelock, err = e.seePipelock(ctx, seen.Settings.pipelockImage())
			return err
		})
	}
	group.Go(func() (err error) {
		seen.Mounts, err = platform.HostMounts(ctx, spec, p.config.Home, p.config.Store.Root())
		return err
	})
	group.Go(func() (err error) {
		seen.HostNetworks, err = hostNetworks()
		return err
	})
	if err := group.Wait(); err != nil {
		return observed{}, err
	}
	addPrefixed(seen.Names, networks, prefix)
	return seen, nil
}

func (e *engine) observeInfo(ctx context.Context, seen *observed) error {
	info, err := e.info(ctx)
	if err != nil {
		return err
	}
	seen.Engine = identity(info)
	seen.Version, seen.DefaultRuntime, seen.Security = info.ServerVersion, info.DefaultRuntime, info.SecurityOptions
	seen.Runtimes = map[string][]string{}
	for name, runtime := range info.Runtimes {
		seen.Runtimes[name] = runtime.Args
	}
	seen.Lacks = lacks(info)
	return nil
}

func (e *engine) info(ctx context.Context) (system.Info, error) {
	result, err := ask(ctx, "info", callLimit, func(ctx context.Context) (client.SystemInfoResult, error) {
		return e.Info(ctx, client.InfoOptions{})
	})
	if err != nil {
		return system.Info{}, fmt.Errorf("ask the engine about itself: %w", err)
	}
	return result.Info, nil
}

// identity tells engines apart that answer at one address, one after the other.
// Before 23.0 all of a machine have one id, but each its own data directory.
func identity(info system.Info) string { return info.ID + " " + info.DockerRootDir }

// lacks are the limits that the engine's kernel cannot enforce.
func lacks(info system.Info) []string {
	var limits []string
	if !info.MemoryLimit {
		limits = append(limits, "memory")
	}
	if !info.CPUCfsQuota {
		limits = append(limits, "cpus")
	}
	if !info.PidsLimit {
		limits = append(limits, "pids")
	}
	return limits
}

// namesInUse are those of containers and networks, whoever made them, that
// begin with prefix.
func (e *engine) namesInUse(ctx context.Context, prefix string) (map[string]bool, error) {
	names, err := e.containerNames(ctx, prefix)
	if err != nil {
		return nil, err
	}
	networks, _, err := e.networkNames(ctx)
	addPrefixed(names, networks, prefix)
	return names, err
}

// addPrefixed adds to names those of others that begin with prefix.
func addPrefixed(names, others map[string]bool, prefix string) {
	for name := range others {
		if strings.HasPrefix(name, prefix) {
			names[name] = true
		}
	}
}

// containerNames are those of containers that begin with prefix.
func (e *engine) containerNames(ctx context.Context, prefix string) (map[string]bool, error) {
	// The engine matches the expression against the name with a slash before it.
	filters := client.Filters{}.Add("name", "^/"+regexp.QuoteMeta(prefix))
	result, err := ask(ctx, "container-list", callLimit, func(ctx context.Context) (client.ContainerListResult, error) {
		return e.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	names := map[string]bool{}
	for _, container := range result.Items {
		for _, name := range container.Names {
			names[strings.TrimPrefix(name, "/")] = true
		}
	}
	return names, nil
}

// networkNames are those of all networks, with the ranges they use.
func (e *engine) networkNames(ctx context.Context) (map[string]bool, []netip.Prefix, error) {
	result, err := ask(ctx, "network-list", callLimit, func(ctx context.Context) (client.NetworkListResult, error) {
		return e.NetworkList(ctx, client.NetworkListOptions{})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list networks: %w", err)
	}
	names := map[string]bool{}
	var used []netip.Prefix
	for _, network := range result.Items {
		names[network.Name] = true
		for _, config := range network.IPAM.Config {
			if config.Subnet.IsValid() {
				used = append(used, config.Subnet.Masked())
			}
		}
	}
	return names, used, nil
}

// hostNetworks are the ranges of the host's interfaces and, where the kernel
// tells, of its routes, the default route left out.
func hostNetworks() ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	var networks []netip.Prefix
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			networks = append(networks, prefix.Masked())
		}
	}
	if table, err := os.ReadFile("/proc/net/route"); err == nil {
		networks = append(networks, routes(string(table))...)
	}
	return networks, nil
}

// routes reads /proc/net/route (proc(5)): one route a line, addresses in
// hexadecimal, the lowest byte first.
func routes(table string) []netip.Prefix {
	var found []netip.Prefix
	lines := bufio.NewScanner(strings.NewReader(table))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 {
			continue
		}
		destination, err := littleEndian(fields[1])
		mask, err2 := littleEndian(fields[7])
		if err != nil || err2 != nil {
			continue
		}
		if bits, _ := net.IPMask(mask[:]).Size(); bits > 0 {
			found = append(found, netip.PrefixFrom(netip.AddrFrom4(destination), bits))
		}
	}
	return found
}

func littleEndian(text string) ([4]byte, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 4 {
		return [4]byte{}, fmt.Errorf("not an address: %q", text)
	}
	return [4]byte{raw[3], raw[2], raw[1], raw[0]}, nil
}

// kernelHasIPv6 is true where that cannot be known, as beside an engine in a
// virtual machine.
func kernelHasIPv6() bool {
	if _, err := os.Stat("/proc/sys/net"); err != nil {
		return true
	}
	_, err := os.Stat("/proc/sys/net/ipv6/conf")
	return err == nil
}

// hostAddresses are the host's own, which the gateway refuses to dial.
func hostAddresses() ([]netip.Addr, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	var found []netip.Addr
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			found = append(found, prefix.Addr().Unmap())
		}
	}
	return found, nil
}
