package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Explain decides about rawURL as the gateway would, without sending
// anything: "https://host/path", which is also what "host/path" means, is a
// CONNECT tunnel and, where the policy opens it, an HTTPS request in it;
// "http://" is a proxied request, "tcp://host:port" a tunnel whatever is said
// in it. The request that is returned is the one
// that decided: of a tunnel that stays closed, method and path are not seen.
// An address that is fixed (a literal or the policy's own) is judged too, with
// own as the host's addresses; what a name resolves to is known only when it
// is dialled. method may be empty, for GET. An error means that rawURL cannot
// be asked for at all.
func (p *Policy) Explain(rawURL, method string, own []netip.Addr) (Request, Decision, error) {
	r, err := requestOf(rawURL, method)
	if err != nil {
		return Request{}, Decision{}, err
	}
	d := p.Decide(r)
	if d.Allow && d.Inspect {
		r.Kind = HTTPS
		d = p.Decide(r)
	}
	if !d.Allow {
		return r, d, nil
	}
	if addr, ok := p.Resolve(d.Host); ok {
		if refused := p.DecideAddress(d.Host, addr, own); !refused.Allow {
			return r, refused, nil
		}
	}
	return r, d, nil
}

func requestOf(rawURL, method string) (Request, error) {
	if !strings.Contains(rawURL, "://") {
		rawURL = "https://" + rawURL
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return Request{}, errors.New("not a URL")
	}
	r := Request{Host: u.Hostname(), Method: method, Path: u.EscapedPath()}
	if u.Opaque != "" || r.Host == "" {
		return Request{}, errors.New("the URL has no host")
	}
	switch u.Scheme {
	case "http", "ws":
		r.Kind, r.Port = HTTP, 80
	case "https", "wss":
		r.Kind, r.Port = Connect, 443
	case "tcp":
		if u.Port() == "" {
			return Request{}, errors.New("tcp:// needs a port")
		}
		r.Kind = TCP
	default:
		return Request{}, fmt.Errorf("a bottle reaches http and https, and the rest by a tcp rule: ask about tcp://%s:PORT", u.Host)
	}
	if s := u.Port(); s != "" {
		if r.Port, err = ParsePort(s); err != nil {
			return Request{}, err
		}
	}
	if r.Method == "" {
		r.Method = "GET"
	}
	if r.Path == "" {
		r.Path = "/"
	}
	return r, nil
}
