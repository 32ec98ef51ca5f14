package docker

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
)

// pools are the private ranges (RFC 1918) that bottles' networks are taken
// from, in this order. They lie outside the ranges that engines hand out by
// themselves (172.17.0.0/16 to 172.31.0.0/16 and 192.168.0.0/16), so that a
// bottle neither runs out of those nor eats them up.
var pools = []netip.Prefix{
	netip.MustParsePrefix("10.213.0.0/16"),
	netip.MustParsePrefix("10.87.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/16"),
}

// bottleBits is the size of a run's network: network, engine, gateway and
// agent addresses, and a broadcast address, fit in 8.
const bottleBits = 29

// egressBits is the size of an owner's egress network when the engine's own
// pools are used up: a thousand gateways.
const egressBits = 22

// addressing is one run's network, decided before anything exists.
// Of a bottle without a network there is the gateway's address alone.
type addressing struct {
	Subnet  netip.Prefix
	Engine  netip.Addr // what the engine keeps for itself; nobody answers there
	Gateway netip.Addr
	Agent   netip.Addr
}

func addressingOf(subnet netip.Prefix) addressing {
	engine := subnet.Addr().Next()
	gateway := engine.Next()
	return addressing{Subnet: subnet, Engine: engine, Gateway: gateway, Agent: gateway.Next()}
}

// addressesOf are those that a plan proposes.
func addressesOf(part *bottle.DockerPlan) addressing {
	if part.Alone {
		return addressing{Gateway: part.GatewayAddress}
	}
	return addressingOf(part.Subnet)
}

// chooseSubnet takes a free network of the given size. seed says where the
// search begins: launches at the same instant begin at different places.
// Networks of the engine are never overlapped; routes and addresses of the
// host are avoided as long as a pool has room beside them (a company's tunnel
// may well route all of the private ranges, and a run's network puts no route
// on the host).
func chooseSubnet(seed string, bits int, engine, host []netip.Prefix) (netip.Prefix, error) {
	for _, avoid := range [][]netip.Prefix{slices.Concat(engine, host), engine} {
		for _, pool := range pools {
			if subnet, ok := freeIn(pool, seed, bits, avoid); ok {
				return subnet, nil
			}
		}
	}
	return netip.Prefix{}, hint.With(fmt.Errorf("no free /%d in %v for the bottle's network", bits, pools),
		"remove unused networks with `claude-bottle cleanup` or `docker network prune`")
}

func freeIn(pool netip.Prefix, seed string, bits int, avoid []netip.Prefix) (netip.Prefix, bool) {
	count := uint32(1) << (bits - pool.Bits())
	start := hash(seed) % count
	for i := range count {
		subnet := nth(pool, bits, (start+i)%count)
		if !slices.ContainsFunc(avoid, subnet.Overlaps) {
			return subnet, true
		}
	}
	return netip.Prefix{}, false
}

// nth is the nth network of the given size in pool, an IPv4 range.
func nth(pool netip.Prefix, bits int, n uint32) netip.Prefix {
	a := pool.Addr().As4()
	value := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	value += n << (32 - bits)
	address := netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)})
	return netip.PrefixFrom(address, bits)
}

func hash(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return h.Sum32()
}
