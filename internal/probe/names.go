package probe

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"claude-bottle/internal/policy"
)

// NamesFor chooses what to ask a gateway for: a name and port that the policy
// lets through, and a name that it does not. Either is empty where there is
// none. Nothing is ever sent to either: a gateway on trial carries nothing.
func NamesFor(egress policy.Egress, word string) (allowed string, port int, refused string) {
	compiled, err := policy.Compile(egress)
	if err != nil {
		return "", 0, "" // the gateway will say so
	}
	refused = RefusedName(word)
	if compiled.Decide(policy.Request{Kind: policy.DNS, Host: refused}).Allow {
		refused = ""
	}
	for _, entry := range egress.Allow {
		host, port := split(entry.Host)
		host = strings.Replace(host, "*", word, 1)
		if _, err := netip.ParseAddr(host); err == nil {
			continue // an address has no name
		}
		named := compiled.Decide(policy.Request{Kind: policy.DNS, Host: host})
		through := compiled.Decide(policy.Request{Kind: policy.Connect, Host: host, Port: port})
		if named.Allow && through.Allow {
			return named.Host, port, refused
		}
	}
	return "", 0, refused
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
