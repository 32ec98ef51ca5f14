// Package policy decides what a bottle may reach. It is pure: it opens no
// socket, reads no file and no clock, so every decision can be replayed from
// its arguments. The gateway acts on what it says; nothing else decides.
package policy

import "net/netip"

// Egress is everything that the manifest and the harness say about a bottle's
// way out, as plain values. It is the policy file that the gateway reads
// (JSON), and [Compile] turns it into a [Policy]. The zero value allows
// nothing.
type Egress struct {
	// Allow is the union of the manifest's allowlist and of what the harness
	// needs. The order has no meaning.
	Allow []Allow `json:"allow"`
	// Private are ranges that are not globally reachable (or belong to the
	// host) and that an allowed name may resolve to all the same.
	Private []netip.Prefix `json:"private,omitempty"`
	// Resolve fixes names to addresses, as docker's --add-host does. Such an
	// address passes the same checks as a resolved one.
	Resolve map[string]netip.Addr `json:"resolve,omitempty"`
	// Roots are extra CA certificates, PEM, that the gateway trusts when it
	// connects with TLS itself.
	Roots string `json:"roots,omitempty"`
	// Proxy is the gateway's own way out, http://[user:password@]host:port;
	// empty means direct.
	Proxy string `json:"proxy,omitempty"`
	// Rules are decided beside Allow; the order has no meaning.
	Rules []Rule `json:"rules,omitempty"`
	// Unlisted is what becomes of a name that nothing lists: "" or "deny", or
	// [Ask].
	Unlisted string `json:"unlisted,omitempty"`
}

// Allow is one allowed name.
type Allow struct {
	// Host is a name, "*.name" for every name below it (not itself), or a
	// literal address. A ":port" suffix limits it to that port; without it
	// ports 80 and 443 are meant.
	Host string `json:"host"`
	// Source says who asked for it, for people: "bottle work" or
	// "harness claude".
	Source string `json:"source,omitempty"`
}

// Kind is the way in by which a request reached the gateway.
type Kind string

// The ways in of the first form of the gateway.
const (
	HTTP    Kind = "http"    // proxied in absolute form, or plain port 80 by Host
	Connect Kind = "connect" // a CONNECT tunnel
	TLS     Kind = "tls"     // plain port 443, by SNI
	DNS     Kind = "dns"     // a question to the gateway's name server
)

// Request is one thing that a bottle asks for, as the gateway understood it.
// Host is as the client wrote it; Decide normalises it (case, one trailing
// dot, IDNA, numeric forms of addresses).
type Request struct {
	Kind   Kind
	Host   string
	Port   int    // 1..65535; 0 for DNS
	Method string // HTTP only
	Path   string // HTTP only, as on the wire, without query
}

// The names of rules that no entry of the manifest brings. A rule that lets a
// private range pass is "private RANGE", one that refuses a special-purpose
// address [RuleSpecial] and the registry's row.
const (
	RuleDefault   = "default"            // nothing allowed it
	RuleSyntax    = "syntax"             // not a host, port or message at all
	RuleReachable = "globally reachable" // the address is public
	RuleSpecial   = "special-purpose"
	RuleOwn       = "host address"
	RulePlatform  = "platform address"
)

// Decision is the answer to one Request. Rule names the entry that decided
// ("allow api.example.net (bottle work)"), or one of the rules above. Reason
// is one short sentence for the person or agent that reads it.
type Decision struct {
	Allow  bool   `json:"allow"`
	Host   string `json:"host"` // normalised
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	// Remedy is the line of a bottle's manifest by which a person would allow
	// what was refused; empty where nothing would.
	Remedy string `json:"remedy,omitempty"`
	// Inspect, of a tunnel or a TLS connection that is allowed, says that TLS
	// in it must be terminated, so that each request is decided for itself.
	Inspect bool `json:"inspect,omitempty"`
}
