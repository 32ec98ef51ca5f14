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
	// ProjectRoots says that a project's manifest brought them: then they vouch
	// for no host of a secret, or whoever wrote the project could be that host.
	ProjectRoots bool `json:"projectRoots,omitempty"`
	// Proxy is the gateway's own way out, http://[user:password@]host:port;
	// empty means direct.
	Proxy string `json:"proxy,omitempty"`
	// NoProxy are hosts that are reached without Proxy: a name, "*.name", an
	// address, or a range of them.
	NoProxy []string `json:"noProxy,omitempty"`
	// Rules say what Allow cannot: ports, methods, paths, refusals, tunnels.
	// The order has no meaning, and a rule that denies wins.
	Rules []Rule `json:"rules,omitempty"`
	// Inspect is for hosts whose rules do not say it; empty is [InspectAuto].
	Inspect string `json:"inspect,omitempty"`
	// Unlisted is what becomes of a name that no rule speaks of: [Ask], or
	// "deny", which is also what "" means.
	Unlisted string `json:"unlisted,omitempty"`
	// Budget is how many bytes the bottle may send in all; 0 is no limit.
	Budget int64 `json:"budget,omitempty"`
	// Secrets say where brokered secrets may be used.
	Secrets []Secret `json:"secrets,omitempty"`
	// Scan is for what no rule says it about.
	Scan Scan `json:"scan,omitzero"`
}

// Rule is one entry of egress.rules, or one that a preset was expanded to.
type Rule struct {
	// Host is a name, "*.name" for every name below it, or a literal address.
	Host string `json:"host"`
	// Port limits the rule to one. 0 means 80 and 443 of a rule that allows,
	// and every port of one that denies.
	Port int `json:"port,omitempty"`
	// Methods limit it to requests with one of them, in upper case. GET stands
	// for HEAD too. Empty means all.
	Methods []string `json:"methods,omitempty"`
	// Paths limit it to requests to a path that one of these globs matches:
	// "*" is any text within a segment, and the segment "**" any number of
	// segments, also none. Empty means all.
	Paths []string `json:"paths,omitempty"`
	// Deny refuses what the rule names, whatever allows it.
	Deny bool `json:"deny,omitempty"`
	// TCP carries bytes as they are, whatever they mean. It needs a port.
	TCP bool `json:"tcp,omitempty"`
	// Inspect is one of the constants of that name, or "" for egress's own.
	Inspect string `json:"inspect,omitempty"`
	// Budget is how many bytes may be sent by this rule; 0 is no limit.
	Budget int64 `json:"budget,omitempty"`
	// Scan is one of the modes of [Scan], or "" for egress's own. It is about
	// what is seen, so TLS is opened for it.
	Scan string `json:"scan,omitempty"`
	// Source says who asked for it, for people, and Preset which preset
	// brought it.
	Source string `json:"source,omitempty"`
	Preset string `json:"preset,omitempty"`
}

// The choices of inspect: whether TLS is opened, so that each request in it is
// decided. InspectAuto opens it where a rule has methods or paths.
const (
	InspectAuto   = "auto"
	InspectAlways = "always"
	InspectNever  = "never"
)

// Ask is the value of [Egress.Unlisted] that has a person asked, and deny the
// other.
const (
	Ask  = "ask"
	deny = "deny"
)

// Allow is one allowed name.
type Allow struct {
	// Host is a name, "*.name" for every name below it (not itself), or a
	// literal address. A ":port" suffix limits it to that port; without it
	// ports 80 and 443 are meant.
	Host string `json:"host"`
	// Source says who asked for it, for people: "bottle work" or
	// "harness claude".
	Source string `json:"source,omitempty"`
	// Harness says that the harness needs it: what the agent reads goes there.
	Harness bool `json:"harness,omitempty"`
}

// Kind is the way in by which a request reached the gateway.
type Kind string

// The ways in. HTTP and HTTPS are requests, decided with method and path; the
// others are tunnels, decided by host and port alone, or a look-up of a name.
const (
	HTTP    Kind = "http"    // proxied in absolute form, or plain port 80 by Host
	HTTPS   Kind = "https"   // a request in TLS that the gateway opened
	Connect Kind = "connect" // a CONNECT tunnel
	SOCKS   Kind = "socks"   // a SOCKS5 tunnel
	TLS     Kind = "tls"     // plain port 443, by SNI
	TCP     Kind = "tcp"     // bytes as they are, by a tcp rule
	DNS     Kind = "dns"     // a question to the gateway's name server
)

// request says whether k is decided with method and path.
func (k Kind) request() bool { return k == HTTP || k == HTTPS }

// Request is one thing that a bottle asks for, as the gateway understood it.
// Host is as the client wrote it; Decide normalises it (case, one trailing
// dot, IDNA, numeric forms of addresses).
type Request struct {
	Kind   Kind
	Host   string
	Port   int    // 1..65535; 0 for DNS
	Method string // HTTP and HTTPS, as on the wire
	Path   string // HTTP and HTTPS, as on the wire, without query
}

// The names of rules that no entry of the manifest brings. A rule that lets a
// private range pass is "private RANGE", one that refuses a special-purpose
// address [RuleSpecial] and the registry's row.
const (
	RuleDefault   = "default"            // nothing allowed it
	RuleSyntax    = "syntax"             // not a host, port or message at all
	RuleAmbiguous = "ambiguous path"     // a path that not all servers read alike
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
	// Inspect, of an allowed tunnel: TLS in it must be opened, and each
	// request in it decided as HTTPS; plain HTTP in it as HTTP.
	Inspect bool `json:"inspect,omitempty"`
	// TCP, of an allowed tunnel: its bytes are carried as they are. Never
	// together with Inspect.
	TCP bool `json:"tcp,omitempty"`
	// Budget is how many bytes may be sent in all by what Rule names; 0 is no
	// limit. It is 0 for a tunnel that is inspected, whose requests count.
	Budget int64 `json:"budget,omitempty"`
	// Scan, of what is allowed, is the mode of [Scan] for it.
	Scan string `json:"scan,omitempty"`
	// Wildcard says that a rule for every name below one allows it, and Harness
	// that the harness needs the host.
	Wildcard bool `json:"wildcard,omitempty"`
	Harness  bool `json:"harness,omitempty"`
}
