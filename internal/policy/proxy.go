package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

var errProxy = errors.New("proxy: http://[user:password@]host:port is wanted")

// parseProxy reads the gateway's own way out. Its error says nothing of the
// text, which may hold a password.
func parseProxy(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
		return nil, errProxy
	}
	if _, err := Normalise(u.Hostname()); err != nil {
		return nil, errProxy
	}
	if _, err := ParsePort(u.Port()); err != nil {
		return nil, errProxy
	}
	return u, nil
}

// direct are the hosts that are reached without the proxy.
type direct struct {
	exact  map[string]bool
	below  map[string]bool
	ranges []netip.Prefix
}

func parseDirect(hosts []string) (direct, error) {
	d := direct{exact: map[string]bool{}, below: map[string]bool{}}
	var errs []error
	for _, text := range hosts {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			d.ranges = append(d.ranges, prefix.Masked())
			continue
		}
		var e entry
		if err := e.setHost(text); err != nil {
			errs = append(errs, fmt.Errorf("no_proxy %q: %w", clip(text), err))
			continue
		}
		m := d.exact
		if e.below {
			m = d.below
		}
		m[e.host] = true
	}
	return d, errors.Join(errs...)
}

// has is about a normalised host. Ranges hold literal addresses and names
// whose address p fixes, since no other name is looked up before a proxy is
// asked for it.
func (d direct) has(host string, p *Policy) bool {
	if d.exact[host] {
		return true
	}
	if addr, ok := p.Resolve(host); ok {
		for _, r := range d.ranges {
			if r.Contains(addr) {
				return true
			}
		}
	}
	for rest := host; ; {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok {
			return false
		}
		if d.below[parent] {
			return true
		}
		rest = parent
	}
}
