package policy

import (
	"fmt"
	"net/netip"
	"slices"
)

// wireServer is the address by which Azure's hosts serve their virtual
// machines (DHCP, DNS, credentials of extensions). It lies in public space,
// so no registry refuses it.
var wireServer = netip.AddrFrom4([4]byte{168, 63, 129, 16})

// DecideAddress says whether the allowed name host may be reached at addr,
// one of the addresses it resolved to. own are the host's own addresses.
//
// A rule that denies a literal address on every port refuses it by any name.
// Else an address passes when it is in a private range of the policy, which lifts
// every other check, or when the IANA special-purpose registries call it globally
// reachable and it is neither one of own nor the platform's. Addresses that
// carry an IPv4 address (mapped, NAT64, 6to4, Teredo) are judged by both.
// This stops an allowed name from pointing at the host, its network or a
// metadata service, also when it is rebound between two look-ups, because the
// address judged here is the one dialled (TestAddresses, TestRebinding).
func (p *Policy) DecideAddress(host string, addr netip.Addr, own []netip.Addr) Decision {
	addr = addr.Unmap()
	d, subject := Decision{Host: host}, fmt.Sprintf("%s resolves to %s, which ", host, addr)
	if host == addr.String() {
		subject = host + " "
	}
	if !addr.IsValid() || addr.Zone() != "" {
		d.Rule, d.Reason = RuleSyntax, fmt.Sprintf("%s resolves to an address with a zone or to none", host)
		return d
	}
	if e := p.deniesAddress(addr); e != nil {
		d.Rule, d.Reason = e.name, subject+"is denied by a rule"
		return d
	}
	if r, ok := p.privateRange(addr); ok {
		d.Allow, d.Rule, d.Reason = true, "private "+r.String(), fmt.Sprintf("%s is in a private range that is allowed", addr)
		return d
	}
	for _, a := range carried(addr) {
		if _, ok := p.privateRange(a); ok && a != addr {
			continue
		}
		if rule, why := judge(a, own); rule != "" {
			d.Rule = rule
			d.Reason = subject + why
			if a != addr {
				d.Reason = fmt.Sprintf("%scarries %s, which %s", subject, a, why)
			}
			d.Remedy = "egress: {" + privately(addr) + "}"
			return d
		}
	}
	d.Allow, d.Rule, d.Reason = true, RuleReachable, addr.String()+" is globally reachable"
	return d
}

// deniesAddress finds a rule that denies addr, or what it carries, whatever is
// asked of it. One that is about a port alone is about the literal alone.
func (p *Policy) deniesAddress(addr netip.Addr) *entry {
	for _, a := range carried(addr) {
		if e := p.blanket(a.String(), 0); e != nil {
			return e
		}
	}
	return nil
}

func (p *Policy) privateRange(addr netip.Addr) (netip.Prefix, bool) {
	for _, r := range p.private {
		if r.Contains(addr) {
			return r, true
		}
	}
	return netip.Prefix{}, false
}

// judge names the rule that refuses addr and says why, or returns "".
func judge(addr netip.Addr, own []netip.Addr) (rule, why string) {
	if slices.ContainsFunc(own, func(o netip.Addr) bool { return o.Unmap().WithZone("") == addr }) {
		return RuleOwn, "is the host's own address"
	}
	if addr == wireServer {
		return RulePlatform, "is the cloud platform's own"
	}
	if s, ok := special(addr); ok && !s.reachable {
		return RuleSpecial + " " + s.prefix.String(), fmt.Sprintf("is not globally reachable (%s, %s)", s.name, s.source)
	}
	if addr.Is6() && !unicast6.Contains(addr) && !nat64.Contains(addr) {
		return RuleSpecial + " ::/0", "is not in the global unicast space (RFC 4291, 2.4)"
	}
	return "", ""
}

// carried is addr and the IPv4 address in it, if it is of a form that has
// one: a translator or tunnel end would deliver there.
func carried(addr netip.Addr) []netip.Addr {
	if !addr.Is6() {
		return []netip.Addr{addr}
	}
	b := addr.As16()
	switch {
	case nat64.Contains(addr): // RFC 6052, 2.1
		return []netip.Addr{addr, netip.AddrFrom4([4]byte(b[12:16]))}
	case sixToFour.Contains(addr): // RFC 3056, 2
		return []netip.Addr{addr, netip.AddrFrom4([4]byte(b[2:6]))}
	case teredo.Contains(addr): // RFC 4380, 4: the client's address, inverted
		return []netip.Addr{addr, netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	default:
		return []netip.Addr{addr}
	}
}
