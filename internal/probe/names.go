package probe

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// NamesFor chooses what to ask a gateway for: a name and port that the policy
// lets through, a name that it does not, and one for each of the plain ports.
// Nothing is ever sent to any of them: a gateway on trial carries nothing.
func NamesFor(egress policy.Egress, word string) wire.Names {
	compiled, err := policy.Compile(egress)
	if err != nil {
		return wire.Names{} // the gateway will say so
	}
	allows := func(r policy.Request) bool { return compiled.Decide(r).Allow }
	names := wire.Names{Refused: refusedName(word)}
	if allows(policy.Request{Kind: policy.DNS, Host: names.Refused}) {
		names.Refused = ""
	}
	for _, entry := range egress.Allow {
		host, port := split(entry.Host)
		host = strings.Replace(host, "*", word, 1)
		if _, err := netip.ParseAddr(host); err == nil {
			continue // an address has no name
		}
		named := compiled.Decide(policy.Request{Kind: policy.DNS, Host: host})
		if !named.Allow {
			continue
		}
		if names.Allowed == "" && allows(policy.Request{Kind: policy.Connect, Host: host, Port: port}) {
			names.Allowed, names.AllowedPort = named.Host, port
		}
		if names.AllowedHTTP == "" && allows(policy.Request{Kind: policy.HTTP, Host: host, Port: 80, Method: "GET", Path: "/"}) {
			names.AllowedHTTP = named.Host
		}
		if names.AllowedTLS == "" && allows(policy.Request{Kind: policy.TLS, Host: host, Port: 443}) {
			names.AllowedTLS = named.Host
		}
	}
	return names
}

// split takes the port from an entry; 443 when there is none.
func split(entry string) (host string, port int) {
	host, text, err := net.SplitHostPort(entry)
	if err != nil {
		return entry, 443
	}
	port, err = strconv.Atoi(text)
	if err != nil {
		return entry, 443
	}
	return host, port
}
