package policy

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// Explain decides about rawURL as the gateway would, without sending
// anything: "https://host/path" is a CONNECT tunnel, "http://" a proxied
// request, "host" and "host:port" a tunnel to it. An address that is fixed
// (a literal or the policy's own) is judged too, with own as the host's
// addresses; what a name resolves to is known only when it is dialled.
// method may be empty. An error means that rawURL cannot be asked for at all.
func (p *Policy) Explain(rawURL, method string, own []netip.Addr) (Request, Decision, error) {
	r, err := requestOf(rawURL, method)
	if err != nil {
		return Request{}, Decision{}, err
	}
	d := p.Decide(r)
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
		host, port, err := splitPort(rawURL)
		if err != nil {
			return Request{}, err
		}
		if port == 0 {
			port = 443
		}
		return Request{Kind: Connect, Host: host, Port: port, Method: "CONNECT"}, nil
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return Request{}, errors.New("not a URL")
	}
	r := Request{Host: u.Hostname(), Method: method, Path: u.EscapedPath()}
	switch u.Scheme {
	case "http", "ws":
		r.Kind, r.Port = HTTP, 80
	case "https", "wss":
		r.Kind, r.Port = Connect, 443
	default:
		return Request{}, errors.New("only http and https leave a bottle")
	}
	if s := u.Port(); s != "" {
		if r.Port, err = ParsePort(s); err != nil {
			return Request{}, err
		}
	}
	if r.Method == "" {
		r.Method = "GET"
	}
	return r, nil
}
