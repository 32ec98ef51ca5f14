package policy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
)

// Policy is a compiled [Egress]. It is immutable and safe for concurrent use.
// The zero value allows nothing.
type Policy struct {
	exact   map[string][]*entry
	below   map[string][]*entry // by the name that others are below
	private []netip.Prefix
	resolve map[string]netip.Addr
	proxy   *url.URL
	direct  direct
	secrets []*entry // hosts that secrets are for
	inspect string
	asks    bool
	budget  int64
	scan    Scan
}

// Compile checks e and makes it ready to decide. The error joins everything
// that is wrong (errors.Join), each part naming the entry; it never holds the
// proxy's credentials.
func Compile(e Egress) (*Policy, error) {
	p := &Policy{
		exact: map[string][]*entry{}, below: map[string][]*entry{}, resolve: map[string]netip.Addr{},
		inspect: e.Inspect, asks: e.Unlisted == Ask, budget: e.Budget, scan: e.Scan,
	}
	var errs []error
	for _, a := range e.Allow {
		entry, err := parseAllow(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.add(&entry)
	}
	errs = append(errs, e.choices(), p.compileRules(e), p.compileSecrets(e))
	p.sort()
	errs = append(errs, p.compilePrivate(e.Private), p.compileResolve(e.Resolve))
	if e.Proxy != "" {
		var err error
		p.proxy, err = parseProxy(e.Proxy)
		errs = append(errs, err)
	}
	var err error
	p.direct, err = parseDirect(e.NoProxy)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return p, nil
}

// choices refuses values that are not among those of their field.
func (e Egress) choices() error {
	var errs []error
	if !isInspect(e.Inspect) {
		errs = append(errs, fmt.Errorf("inspect is auto, always or never, not %q", clip(e.Inspect)))
	}
	if e.Unlisted != "" && e.Unlisted != Ask && e.Unlisted != deny {
		errs = append(errs, fmt.Errorf("unlisted is deny or ask, not %q", clip(e.Unlisted)))
	}
	if e.Budget < 0 {
		errs = append(errs, errors.New("a budget is not negative"))
	}
	errs = append(errs, e.Scan.check())
	return errors.Join(errs...)
}

func isInspect(s string) bool {
	return s == "" || s == InspectAuto || s == InspectAlways || s == InspectNever
}

func (p *Policy) add(e *entry) {
	m := p.exact
	if e.below {
		m = p.below
	}
	m[e.host] = append(m[e.host], e)
}

// sort puts the entries of each host in the order in which they decide, and
// names them.
func (p *Policy) sort() {
	taken := map[string]string{}
	for _, m := range []map[string][]*entry{p.exact, p.below} {
		for _, host := range slices.Sorted(maps.Keys(m)) {
			slices.SortFunc(m[host], (*entry).before)
			for _, e := range m[host] {
				e.setName(taken)
			}
		}
	}
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
// credentials. [Policy.ProxyFor] says for which hosts.
func (p *Policy) Proxy() *url.URL { return p.proxy }

// ProxyFor is the way out to a normalised host, nil for direct.
func (p *Policy) ProxyFor(host string) *url.URL {
	if p.proxy == nil || p.direct.has(host, p) {
		return nil
	}
	return p.proxy
}

// Budget is how many bytes the bottle may send in all; 0 is no limit.
func (p *Policy) Budget() int64 { return p.budget }

// Scan is what becomes of secrets where no rule says it.
func (p *Policy) Scan() Scan { return p.scan }

// Resolve is the fixed address of a normalised host: the one of the policy,
// or what a literal address means by itself.
func (p *Policy) Resolve(host string) (netip.Addr, bool) {
	if addr, ok := literalAddress(host); ok {
		return addr, true
	}
	addr, ok := p.resolve[host]
	return addr, ok
}
