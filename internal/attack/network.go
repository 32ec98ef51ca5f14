package attack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// What stops packets.
const (
	byNetwork   = "its network leads to the gateway alone"
	byNoNetwork = "it has no network"
	byGateway   = "the gateway"
)

func networkAttempts(t Targets) []attempt {
	silent := func(tried string, try func(ctx context.Context) result) attempt {
		return attempt{tried: tried, silent: true, try: try}
	}
	list := []attempt{
		silent("reach a program on this computer", func(ctx context.Context) result { return knockAll(ctx, t.ipv4()) }),
		silent("send past the gateway", func(ctx context.Context) result { return pastGateway(ctx, t) }),
		silent("leave through IPv6", func(ctx context.Context) result { return ipv6(ctx, t) }),
		silent("ask another name server", func(ctx context.Context) result { return otherServers(ctx, t) }),
	}
	return append(list, gatewayAttempts(t)...)
}

func (t Targets) ipv4() []netip.AddrPort {
	var found []netip.AddrPort
	for _, canary := range t.Canaries {
		if canary.Addr().Unmap().Is4() {
			found = append(found, canary)
		}
	}
	return found
}

// knockAll tries addresses at once, over TCP and UDP.
func knockAll(ctx context.Context, targets []netip.AddrPort) result {
	type heard struct {
		target string
		err    error
	}
	answers := make(chan heard, 2*len(targets))
	for _, target := range targets {
		for _, network := range []string{"tcp", "udp"} {
			go func() { answers <- heard{network + " " + target.String(), Knock(ctx, network, target)} }() // ends with ctx
		}
	}
	how := map[string]bool{}
	var kinds []string
	for range cap(answers) {
		answer := <-answers
		if Reached(answer.err) {
			return worked("%s answered", answer.target)
		}
		if kind := Plain(answer.err); !how[kind] {
			how[kind] = true
			kinds = append(kinds, kind)
		}
	}
	if len(targets) == 0 {
		return stopped(network(), "there is no address to try")
	}
	return stopped(network(), "%s: %s", count(len(targets), "address", "addresses"), strings.Join(kinds, ", "))
}

// Knock connects; over UDP it waits for an answer too.
func Knock(ctx context.Context, network string, target netip.AddrPort) error {
	conn, err := new(net.Dialer).DialContext(ctx, network, target.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if network == "tcp" {
		return nil
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write([]byte("is somebody there")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 64))
	return err
}

// Reached says whether somebody was there: who refuses or resets is.
func Reached(err error) bool {
	return err == nil || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}

// Plain is an error in a few words.
func Plain(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "it worked"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.Canceled), errors.Is(err, syscall.ETIMEDOUT):
		return "no answer"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// pastGateway sends to where a router would be: the first address of each
// network that the bottle is on, and what the kernel has for a default route.
func pastGateway(ctx context.Context, t Targets) result {
	addresses, err := ownAddresses()
	if err != nil {
		return stopped(byNetwork, "%s", Plain(err))
	}
	gateway := gatewayAddress()
	var targets []netip.AddrPort
	for _, own := range addresses {
		router := own.Masked().Addr().Next()
		if !own.Addr().Is4() || router == own.Addr() || router == gateway {
			continue
		}
		targets = append(targets, netip.AddrPortFrom(router, 443))
		for _, canary := range t.Canaries[:min(1, len(t.Canaries))] {
			targets = append(targets, netip.AddrPortFrom(router, canary.Port()))
		}
	}
	r := knockAll(ctx, targets)
	if !r.worked && len(targets) > 0 {
		r.happened = "no router: " + strings.TrimPrefix(r.happened, count(len(targets), "address", "addresses")+": ")
	}
	return r
}

// network says what stops packets in this bottle.
func network() string {
	if own, err := ownAddresses(); err == nil && len(own) == 0 {
		return byNoNetwork
	}
	return byNetwork
}

// ownAddresses are the bottle's, but for loopback.
func ownAddresses() ([]netip.Prefix, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var found []netip.Prefix
	for _, address := range list {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && !prefix.Addr().IsLoopback() {
			found = append(found, prefix)
		}
	}
	return found, nil
}

// ipv6 looks for an address of that kind, and tries the host's.
func ipv6(ctx context.Context, t Targets) result {
	own, err := ownAddresses()
	if err != nil {
		return stopped(byNetwork, "%s", Plain(err))
	}
	for _, address := range own {
		if address.Addr().Is6() && !address.Addr().Is4In6() {
			return worked("the bottle has the address %s", address.Addr())
		}
	}
	var targets []netip.AddrPort
	for _, canary := range t.Canaries {
		if canary.Addr().Is6() && !canary.Addr().Is4In6() {
			targets = append(targets, onOwnLinks(canary)...)
		}
	}
	if len(targets) == 0 {
		return stopped("IPv6 is off in the bottle", "no address of that kind")
	}
	r := knockAll(ctx, targets)
	if !r.worked {
		r.by = "IPv6 is off in the bottle"
	}
	return r
}

// onOwnLinks is a link-local address on each of the bottle's interfaces.
func onOwnLinks(target netip.AddrPort) []netip.AddrPort {
	if !target.Addr().IsLinkLocalUnicast() {
		return []netip.AddrPort{target}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var found []netip.AddrPort
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 {
			found = append(found, netip.AddrPortFrom(target.Addr().WithZone(i.Name), target.Port()))
		}
	}
	return found
}

// otherServers asks whoever could be a name server, but for the gateway, for
// a name that the gateway refuses.
func otherServers(ctx context.Context, t Targets) result {
	servers := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.11:53")} // the engine's own, in every container
	for _, canary := range t.ipv4() {
		servers = append(servers, netip.AddrPortFrom(canary.Addr(), 53))
	}
	type answer struct {
		server netip.AddrPort
		said   string
		ok     bool
	}
	answers := make(chan answer, len(servers))
	for _, server := range servers {
		go func() { // ends with ctx
			said, ok := ask(ctx, server, t.Refused)
			answers <- answer{server, said, ok}
		}()
	}
	for range servers {
		if a := <-answers; a.ok {
			return worked("%s answered: %s", a.server, a.said)
		}
	}
	return stopped(network(), "%s: none answers", count(len(servers), "server", "servers"))
}

// ask looks a name up at one server. It is true when the server knew anything
// about it, be it that there is no such name: then the question has left.
func ask(ctx context.Context, server netip.AddrPort, name string) (string, bool) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.String())
	}}
	addresses, err := resolver.LookupNetIP(ctx, "ip4", name+".")
	var failed *net.DNSError
	switch {
	case err == nil && len(addresses) > 0:
		return addresses[0].String(), true
	case errors.As(err, &failed) && failed.IsNotFound:
		return "there is no such name", true
	case errors.As(err, &failed) && failed.IsTimeout:
		return "no answer", false
	case errors.As(err, &failed):
		return failed.Err, false
	}
	return Plain(err), false
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
