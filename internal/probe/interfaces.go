package probe

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"claude-bottle/internal/wire"
)

// own checks that the bottle has no address but its own: another leg, or IPv6,
// is another way out.
func own(allowed []netip.Addr) []wire.Finding {
	c := check{kind: Network, target: "no address but the bottle's"}
	six := check{kind: Network, target: "no IPv6"}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return []wire.Finding{open(reason(err)).in(c)}
	}
	legs, sixes := closed("none"), closed("none")
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil || prefix.Addr().IsLoopback() {
			continue
		}
		switch ip := prefix.Addr().Unmap(); {
		case ip.Is6():
			sixes = open("it has " + ip.String())
		case !slices.Contains(allowed, ip):
			legs = open("it also has " + ip.String())
		}
	}
	return []wire.Finding{legs.in(c), sixes.in(six)}
}

// alone checks that there is no network: no interface but loopback, be it down
// and without an address, and no route that leads out of it.
func alone() []wire.Finding {
	findings := own(nil)
	interfaces, err := net.Interfaces()
	only := closed("there is none")
	if err != nil {
		only = open(reason(err))
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 {
			only = open("it has " + i.Name)
		}
	}
	return append(findings,
		only.in(check{kind: Network, target: "no interface but loopback"}),
		routes("/proc/self/net").in(check{kind: FarSide, target: "no route"}))
}

// routes reads route and ipv6_route (proc(5)): a line a route, the interface
// first in the one, after a line of headings, and last in the other.
func routes(dir string) outcome {
	for _, table := range []struct {
		name  string
		which func(fields []string) string
	}{
		{"route", func(fields []string) string { return fields[0] }},
		{"ipv6_route", func(fields []string) string { return fields[len(fields)-1] }},
	} {
		text, err := os.ReadFile(dir + "/" + table.name)
		if os.IsNotExist(err) {
			continue // a kernel without that family
		}
		if err != nil {
			return open(reason(err))
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) == 0 || fields[0] == "Iface" {
				continue
			}
			if by := table.which(fields); by != "lo" {
				return open("one leads to " + by)
			}
		}
	}
	return closed("there is none")
}
