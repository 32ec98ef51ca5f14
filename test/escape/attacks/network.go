//go:build linux

package attacks

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"time"

	"claude-bottle/internal/attack"
)

// silence is how long somebody is waited for who may not be there.
const silence = 2 * time.Second

func networkAttacks() []Attack {
	return []Attack{
		{ID: "host/tcp", What: "connect to the host on each of its addresses", try: func(ctx context.Context, t Targets) result {
			return knockAll(ctx, "tcp", t.Host)
		}},
		{ID: "host/udp", What: "send datagrams to the host on each of its addresses", try: func(ctx context.Context, t Targets) result {
			return knockAll(ctx, "udp", t.Host)
		}},
		{ID: "host/routers", What: "connect to where a router would be: the first address of each own network, and the kernel's routes", try: routers},
		{ID: "host/everybody", What: "send to everybody: broadcast and multicast of each own interface", try: everybody},
		{ID: "host/ipv6", What: "have an address of IPv6, or a route", try: ipv6},
		{ID: "neighbour/tcp", What: "connect to another bottle", try: func(ctx context.Context, t Targets) result {
			return knockAll(ctx, "tcp", t.Neighbour)
		}},
		{ID: "neighbour/udp", What: "send datagrams to another bottle", try: func(ctx context.Context, t Targets) result {
			return knockAll(ctx, "udp", t.Neighbour)
		}},
		{ID: "engine/sockets", What: "connect to the sockets of container engines", try: engineSockets},
		{ID: "engine/api", What: "connect to an engine's API over TCP, on the host and on the bottle's own networks", try: engineAPI},
		{ID: "metadata/direct", What: "connect to the clouds' metadata address", try: func(ctx context.Context, t Targets) result {
			if !t.Metadata.IsValid() {
				return absent("nobody plays it")
			}
			return knockAll(ctx, "tcp", []netip.AddrPort{t.Metadata})
		}},
		{ID: "elsewhere/direct", What: "connect to a host of the world past the gateway", try: func(ctx context.Context, t Targets) result {
			if !t.Elsewhere.IsValid() {
				return absent("nobody plays it")
			}
			return knockAll(ctx, "tcp", []netip.AddrPort{netip.AddrPortFrom(t.Elsewhere, 80), netip.AddrPortFrom(t.Elsewhere, 443)})
		}},
	}
}

// knockAll tries all at once.
func knockAll(ctx context.Context, network string, targets []netip.AddrPort) result {
	if len(targets) == 0 {
		return absent("there is nobody to try")
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	type heard struct {
		at  netip.AddrPort
		err error
	}
	answers := make(chan heard, len(targets))
	for _, target := range targets {
		go func() { answers <- heard{target, attack.Knock(ctx, network, target)} }() // ends with ctx
	}
	var last error
	for range targets {
		answer := <-answers
		// On its own loopback a bottle hears its own kernel's refusal.
		own := answer.at.Addr().IsLoopback() && answer.err != nil
		if attack.Reached(answer.err) && !own {
			return through("%s %s: %s", network, answer.at, attack.Plain(answer.err))
		}
		last = answer.err
	}
	return stopped("%d tried: %s", len(targets), attack.Plain(last))
}

// ownPrefixes are the bottle's networks, but for loopback.
func ownPrefixes() (found []netip.Prefix) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, address := range list {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && !prefix.Addr().IsLoopback() {
			found = append(found, prefix)
		}
	}
	return found
}

// routers sends where packets that leave would be sent.
func routers(ctx context.Context, t Targets) result {
	gateway, _ := t.gateway()
	var targets []netip.AddrPort
	for _, own := range ownPrefixes() {
		if !own.Addr().Is4() {
			continue
		}
		router := own.Masked().Addr().Next()
		for _, port := range append([]uint16{22, 80, 443, 2375}, portsOf(t.Host)...) {
			if router != own.Addr() && router != gateway {
				targets = append(targets, netip.AddrPortFrom(router, port))
			}
		}
	}
	if len(targets) == 0 {
		return stopped("it is on no network")
	}
	return knockAll(ctx, "tcp", targets)
}

func portsOf(list []netip.AddrPort) (ports []uint16) {
	for _, at := range list {
		ports = append(ports, at.Port())
	}
	return ports
}

// everybody sends to the host's canaries' port; they hear it or not, and the
// host's side of the test looks. Here it counts as through only when an answer
// comes back.
func everybody(ctx context.Context, t Targets) result {
	if len(t.Host) == 0 {
		return absent("there is nobody to hear it")
	}
	targets := []string{"255.255.255.255", "224.0.0.1", "239.255.255.250"}
	for _, own := range ownPrefixes() {
		if own.Addr().Is4() {
			targets = append(targets, lastOf(own).String())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	sent := 0
	for _, target := range targets {
		for _, port := range portsOf(t.Host) {
			at := netip.AddrPortFrom(netip.MustParseAddr(target), port)
			conn, err := net.ListenUDP("udp4", nil)
			if err != nil {
				continue
			}
			_ = allowBroadcast(conn) // what is refused is refused by the sending too
			if _, err := conn.WriteToUDPAddrPort([]byte("is anybody there"), at); err != nil {
				_ = conn.Close()
				continue
			}
			sent++
			deadline, _ := ctx.Deadline()
			_ = conn.SetReadDeadline(deadline)
			answer := make([]byte, 256)
			n, from, err := conn.ReadFromUDPAddrPort(answer)
			_ = conn.Close()
			if err == nil && t.says(answer[:n]) {
				return through("%s answered what was sent to %s", from, at)
			}
		}
	}
	return stopped("%d datagrams left, nobody answered", sent)
}

// lastOf is the address by which all of a network are meant.
func lastOf(p netip.Prefix) netip.Addr {
	last := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(last)
}

func ipv6(ctx context.Context, t Targets) result {
	for _, own := range ownPrefixes() {
		if own.Addr().Is6() && !own.Addr().Is4In6() {
			return through("it has %s", own.Addr())
		}
	}
	var targets []netip.AddrPort
	for _, target := range t.Host {
		if target.Addr().Is6() {
			targets = append(targets, target)
		}
	}
	if len(targets) == 0 {
		return stopped("it has no address of that kind")
	}
	return knockAll(ctx, "tcp", targets)
}

// sockets are where engines and the like usually listen.
var sockets = []string{
	"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock",
	"/run/crio/crio.sock", "/run/buildkit/buildkitd.sock", "/run/dbus/system_bus_socket", "/run/systemd/private",
	"/run/snapd.socket", "/run/libvirt/libvirt-sock", "/tmp/.X11-unix/X0",
}

func engineSockets(ctx context.Context, t Targets) result {
	list := sockets
	for _, path := range t.Files {
		if strings.HasSuffix(path, ".sock") {
			list = append(list, path)
		}
	}
	for _, path := range list {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			_ = conn.Close()
			return through("%s answered", path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return through("%s is there: %s", path, attack.Plain(err))
		}
	}
	return stopped("%d places, none there", len(list))
}

func engineAPI(ctx context.Context, t Targets) result {
	var targets []netip.AddrPort
	add := func(address netip.Addr) {
		for _, port := range []uint16{2375, 2376, 4243, 2377} {
			targets = append(targets, netip.AddrPortFrom(address, port))
		}
	}
	for _, host := range t.Host {
		add(host.Addr())
	}
	if gateway, ok := t.gateway(); ok {
		add(gateway)
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	answers := make(chan error, len(targets))
	for _, target := range targets {
		go func() { // ends with ctx
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", target.String())
			if err == nil {
				_ = conn.Close()
			}
			answers <- err
		}()
	}
	for range targets {
		if <-answers == nil {
			return through("somebody listens there")
		}
	}
	return stopped("%d tried", len(targets))
}
