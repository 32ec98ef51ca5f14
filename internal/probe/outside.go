package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"claude-bottle/internal/wire"
)

// Outside looks at a gateway from the launcher's host: its canaries are heard
// there, which shows that they are there, and none of its ports answers.
func Outside(ctx context.Context, canaries []wire.Canary, word string, ports wire.Ports) []wire.Finding {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return []wire.Finding{broken(reason(err)).in(check{kind: Control, target: "the gateway's canary"})}
	}
	var mu sync.Mutex // guards findings
	var findings []wire.Finding
	var asking sync.WaitGroup
	for _, canary := range canaries {
		if !onHost(canary.Leg, own) {
			// An engine in a virtual machine, whose networks are not the
			// host's: the gateway hears its canary itself.
			continue
		}
		asking.Go(func() {
			control := hearing(ctx, canary, word)
			mu.Lock()
			defer mu.Unlock()
			findings = append(findings, control)
		})
	}
	asking.Go(func() {
		probed, _ := run(ctx, trial{
			checks: doors(portsOf(canaries, own, ports), word), deadline: Deadline,
		})
		mu.Lock()
		defer mu.Unlock()
		findings = append(findings, probed.Findings...)
	})
	asking.Wait()
	return findings
}

func hearing(ctx context.Context, canary wire.Canary, word string) wire.Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := check{kind: Control, target: fmt.Sprintf("the gateway's canary on %s", canary.Leg.Addr())}
	if err := Hear(ctx, canary.Address(), word); err != nil {
		return broken(err.Error()).in(c)
	}
	return works("heard").in(c)
}

// onHost says whether the host is on a gateway's network.
func onHost(leg netip.Prefix, own []net.Addr) bool {
	for _, address := range own {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && leg.Contains(prefix.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// portsOf are a gateway's ports where they must not be.
func portsOf(canaries []wire.Canary, own []net.Addr, ports wire.Ports) []wire.Door {
	var doors []wire.Door
	for _, canary := range canaries {
		if !onHost(canary.Leg, own) {
			continue
		}
		for _, port := range ports.All() {
			doors = append(doors, wire.Door{
				Kind: GatewayPort, Address: netip.AddrPortFrom(canary.Leg.Addr(), uint16(port)), //nolint:gosec // G115: a port
			})
		}
	}
	return doors
}
