package policy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Policy is a compiled [Egress]. It is immutable and safe for concurrent use.
// The zero value allows nothing.
type Policy struct {
	exact   map[string][]entry
	below   map[string][]entry // by the name that others are below
	private []netip.Prefix
	resolve map[string]netip.Addr
	proxy   *url.URL
	asks    bool
}

// Compile checks e and makes it ready to decide. The error joins everything
// that is wrong (errors.Join), each part naming the entry; it never holds the
// proxy's credentials.
func Compile(e Egress) (*Policy, error) {
	p := &Policy{exact: map[string][]entry{}, below: map[string][]entry{}, resolve: map[string]netip.Addr{}}
	p.asks = e.Unlisted == Ask
	var errs []error
	for _, r := range e.Rules {
		a, err := r.plain()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e.Allow = append(e.Allow[:len(e.Allow):len(e.Allow)], a)
	}
	for _, a := range e.Allow {
		entry, err := parseAllow(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m := p.exact
		if entry.below {
			m = p.below
		}
		m[entry.host] = append(m[entry.host], entry)
	}
	for _, m := range []map[string][]entry{p.exact, p.below} {
		for _, entries := range m {
			slices.SortFunc(entries, entry.before)
		}
	}
	errs = append(errs, p.compilePrivate(e.Private), p.compileResolve(e.Resolve))
	if e.Proxy != "" {
		var err error
		p.proxy, err = parseProxy(e.Proxy)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Policy) compilePrivate(ranges []netip.Prefix) error {
	var errs []error
	for _, r := range ranges {
		if !r.IsValid() {
			errs = append(errs, errors.New("private: a range is missing"))
			continue
		}
		if r.Addr().Is4In6() && r.Bits() >= 96 {
			r = netip.PrefixFrom(r.Addr().Unmap(), r.Bits()-96)
		}
		p.private = append(p.private, r.Masked())
	}
	slices.SortFunc(p.private, func(a, b netip.Prefix) int { // the narrowest names the decision
		if c := b.Bits() - a.Bits(); c != 0 {
			return c
		}
		return a.Addr().Compare(b.Addr())
	})
	return errors.Join(errs...)
}

func (p *Policy) compileResolve(fixed map[string]netip.Addr) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(fixed)) {
		addr := fixed[name].Unmap()
		host, err := Normalise(name)
		_, literal := literalAddress(host)
		switch known, twice := p.resolve[host]; {
		case err != nil:
			errs = append(errs, fmt.Errorf("resolve %q: %w", clip(name), err))
		case literal:
			errs = append(errs, fmt.Errorf("resolve %q: an address needs no resolving", clip(name)))
		case !addr.IsValid():
			errs = append(errs, fmt.Errorf("resolve %q: the address is missing", clip(name)))
		case addr.Zone() != "":
			errs = append(errs, fmt.Errorf("resolve %q: %w", clip(name), errZone))
		case twice && known != addr:
			errs = append(errs, fmt.Errorf("resolve %q: the same name has two addresses", clip(name)))
		default:
			p.resolve[host] = addr
		}
	}
	return errors.Join(errs...)
}

// Proxy is the gateway's own way out, nil for direct. The URL may hold
// credentials.
func (p *Policy) Proxy() *url.URL { return p.proxy }

// Resolve is the fixed address of a normalised host: the one of the policy,
// or what a literal address means by itself.
func (p *Policy) Resolve(host string) (netip.Addr, bool) {
	if addr, ok := literalAddress(host); ok {
		return addr, true
	}
	addr, ok := p.resolve[host]
	return addr, ok
}

// Decide says whether r may leave, judged by name and port alone; addresses
// are judged by [Policy.DecideAddress] once they are known.
func (p *Policy) Decide(r Request) Decision {
	host, err := Normalise(r.Host)
	if err != nil {
		return Decision{Host: clip(r.Host), Rule: RuleSyntax, Reason: err.Error()}
	}
	if r.Kind != DNS && (r.Port < 1 || r.Port > 65535) {
		return Decision{Host: host, Rule: RuleSyntax, Reason: errPort.Error()}
	}
	var near *entry
	for _, entries := range p.matching(host) {
		for i, e := range entries {
			if r.Kind == DNS || e.takes(r.Port) {
				return Decision{Allow: true, Host: host, Rule: e.rule(), Reason: host + " is on the allowlist"}
			}
			if near == nil {
				near = &entries[i]
			}
		}
	}
	d := Decision{Host: host, Rule: RuleDefault, Reason: host + " is not on the allowlist", Remedy: remedy(host, r)}
	if near != nil {
		d.Reason = fmt.Sprintf("port %d of %s is not on the allowlist; %s allows %s",
			r.Port, host, strconv.Quote(near.text()), near.ports())
	}
	return d
}

// matching lists the entries for host, most specific first: those of the
// name itself, then those of each name that it is below, nearest first.
func (p *Policy) matching(host string) [][]entry {
	var found [][]entry
	if entries := p.exact[host]; entries != nil {
		found = append(found, entries)
	}
	if _, literal := literalAddress(host); literal {
		return found
	}
	for rest := host; ; {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok {
			return found
		}
		if entries := p.below[parent]; entries != nil {
			found = append(found, entries)
		}
		rest = parent
	}
}

// remedy is the line of manifest that would allow r.
func remedy(host string, r Request) string {
	if r.Kind != DNS && r.Port != 80 && r.Port != 443 {
		host = listing(host, r.Port)
	}
	return fmt.Sprintf("egress: {allowlist: [%q]}", host)
}
