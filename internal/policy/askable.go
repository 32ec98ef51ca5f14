package policy

import (
	"math"
	"net/netip"
	"strings"
)

// Names below these lead nowhere that is public (RFC 6761, RFC 6762, RFC 7686,
// RFC 8375, and what ICANN reserved for private use).
var privateNames = []string{"localhost", "local", "invalid", "onion", "home.arpa", "internal", "arpa", "alt", "lan"}

// Askable says whether a person may be asked to allow a normalised name: one
// that leads nowhere public, or that carries what looks like data, is not for
// people to judge. A label of 20 characters or more with 3.5 bits each or more
// looks like data.
func Askable(host string) bool {
	if !strings.Contains(host, ".") {
		return false
	}
	for _, name := range privateNames {
		if strings.HasSuffix(host, "."+name) {
			return false
		}
	}
	for label := range strings.SplitSeq(host, ".") {
		if len(label) >= 20 && entropy(label) >= 3.5 {
			return false
		}
	}
	return true
}

// AsksAbout says whether a person who attends is asked about r, which d refuses.
// Never about what a rule denies, about an address that is not public, or about
// a name that carries what looks like data: asking would be a way to show it. own
// are the host's own addresses.
func (p *Policy) AsksAbout(r Request, d Decision, own func() ([]netip.Addr, error)) bool {
	if d.Allow || d.Rule != RuleDefault || !p.asks {
		return false
	}
	if addr, err := netip.ParseAddr(d.Host); err == nil {
		list, err := own()
		return err == nil && r.Kind != DNS && p.DecideAddress(d.Host, addr, list).Allow
	}
	// A name that a rule lists is not unlisted, whatever that rule says of the
	// port, the method or the path.
	return Askable(d.Host) && !p.Decide(Request{Kind: DNS, Host: d.Host}).Allow
}

// entropy is Shannon's, of the bytes of s, in bits each.
func entropy(s string) float64 {
	var counts [256]int
	for i := range len(s) {
		counts[s[i]]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(s))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}
