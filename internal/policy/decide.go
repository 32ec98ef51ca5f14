package policy

import (
	"cmp"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// Decide says whether r may leave, judged by name, port and, of a request,
// method and path; addresses are judged by [Policy.DecideAddress] once they
// are known.
func (p *Policy) Decide(r Request) Decision {
	host, err := Normalise(r.Host)
	if err != nil {
		return Decision{Host: clip(r.Host), Rule: RuleSyntax, Reason: err.Error()}
	}
	if r.Kind == DNS {
		return p.decideName(host)
	}
	if r.Port < 1 || r.Port > 65535 {
		return Decision{Host: host, Rule: RuleSyntax, Reason: errPort.Error()}
	}
	v := view{policy: p, request: r, host: host}
	if err := v.look(); err != nil {
		return Decision{Host: host, Rule: RuleAmbiguous, Reason: err.Error() + ", and a rule decides by paths here"}
	}
	switch {
	case v.deny != nil:
		return Decision{Host: host, Rule: v.deny.name, Reason: v.subject() + " is denied by a rule"}
	case v.allow == nil:
		return v.refusal()
	case r.Kind == TCP && !v.tcp():
		return Decision{Host: host, Rule: RuleDefault, Reason: "no tcp rule allows " + listing(host, r.Port), Remedy: remedy(host, r)}
	}
	return v.admission()
}

// decideName answers a look-up: a name may be looked up when something of it
// may be reached on some port.
func (p *Policy) decideName(host string) Decision {
	var deny *entry
	for e := range p.matching(host) {
		if e.deny {
			continue
		}
		for _, port := range e.portList() {
			blanket := p.blanket(host, port)
			if blanket == nil {
				return Decision{
					Allow: true, Host: host, Rule: e.name, Reason: host + " is allowed",
					Scan: cmp.Or(e.scan, p.scan.Mode), Wildcard: e.below,
				}
			}
			if deny == nil {
				deny = blanket
			}
		}
	}
	if deny == nil {
		deny = p.blanket(host, 0)
	}
	if deny != nil {
		return Decision{Host: host, Rule: deny.name, Reason: host + " is denied by a rule"}
	}
	return Decision{
		Host: host, Rule: RuleDefault, Reason: host + " is not on the allowlist",
		Remedy: remedy(host, Request{Kind: DNS}),
	}
}

// blanket finds a rule that denies everything at a port of host; port 0 asks
// for one that denies every port.
func (p *Policy) blanket(host string, port int) *entry {
	for e := range p.matching(host) {
		if e.deny && !e.sees() && (e.port == 0 || e.port == port) {
			return e
		}
	}
	return nil
}

// portList are the ports of an entry that allows.
func (e *entry) portList() []int {
	if e.port != 0 {
		return []int{e.port}
	}
	return []int{443, 80}
}

// matching yields the entries for host, most specific first: those of the
// name itself, then those of each name that it is below, nearest first.
func (p *Policy) matching(host string) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, e := range p.exact[host] {
			if !yield(e) {
				return
			}
		}
		if _, literal := literalAddress(host); literal || len(p.below) == 0 {
			return
		}
		for rest := host; ; {
			_, parent, ok := strings.Cut(rest, ".")
			if !ok {
				return
			}
			for _, e := range p.below[parent] {
				if !yield(e) {
					return
				}
			}
			rest = parent
		}
	}
}

// view is what all the rules of a host say about one request.
type view struct {
	policy  *Policy
	request Request
	host    string

	segments []string // of the path, once a rule needs them
	read     bool

	deny, allow *entry // the first that matches
	carry       *entry // the first tcp rule that matches
	near        *entry // the first that allows, on other terms
	setting     *entry // the first that says something of inspection
	sees        bool   // a rule of this host and port has methods or paths
	opens       bool   // one says inspect: always
	scan        *entry // the one that says what becomes of secrets
	harness     bool   // one is the harness's
}

// look goes through the rules once. An error is an ambiguous path.
func (v *view) look() error {
	for e := range v.policy.matching(v.host) {
		if !e.takes(v.request.Port) {
			if v.near == nil && !e.deny {
				v.near = e
			}
			continue
		}
		v.inside(e)
		matched, err := v.matches(e)
		if err != nil {
			return err
		}
		v.weigh(e, matched)
	}
	return nil
}

// weigh keeps the first entry of each kind.
func (v *view) weigh(e *entry, matched bool) {
	switch {
	case matched && e.deny:
		if v.deny == nil {
			v.deny = e
		}
	case e.deny:
	case !matched:
		if v.near == nil || !v.near.takes(v.request.Port) {
			v.near = e
		}
	default:
		if v.allow == nil {
			v.allow = e
		}
		v.harness = v.harness || e.harness
		v.scanOf(e)
		if e.tcp && v.carry == nil {
			v.carry = e
		}
	}
}

// inside collects what e says of opening tunnels. The most specific setting
// counts, and of two for the same hosts the one that opens.
func (v *view) inside(e *entry) {
	v.sees = v.sees || e.sees()
	v.opens = v.opens || e.inspect == InspectAlways
	if e.inspect != InspectAlways && e.inspect != InspectNever {
		return
	}
	same := v.setting != nil && v.setting.below == e.below && v.setting.host == e.host
	if v.setting == nil || same && e.inspect == InspectAlways {
		v.setting = e
	}
}

// matches says whether e is about the request. Of a tunnel nothing inside is
// known yet: a rule that allows part of what may be in it matches, one that
// denies part of it does not.
func (v *view) matches(e *entry) (bool, error) {
	if !v.request.Kind.request() {
		return !e.deny || !e.sees(), nil
	}
	if len(e.paths) > 0 && !v.read {
		segments, err := readPath(v.request.Path)
		if err != nil {
			return false, err
		}
		v.segments, v.read = segments, true
	}
	return e.hasMethod(v.request.Method) && e.hasPath(v.segments), nil
}

// hasMethod takes HEAD for GET, which says less. A rule that denies does not
// mind the case, since some servers do not; one that allows does (RFC 9110,
// 9.1).
func (e *entry) hasMethod(method string) bool {
	if len(e.methods) == 0 {
		return true
	}
	if e.deny {
		method = strings.ToUpper(method)
	}
	for _, m := range e.methods {
		if m == method || m == "GET" && method == "HEAD" {
			return true
		}
	}
	return false
}

// hasPath compares decoded paths. A rule that denies minds neither case nor a
// slash at the end, since some servers do not; one that allows does.
func (e *entry) hasPath(segments []string) bool {
	if len(e.paths) == 0 {
		return true
	}
	for _, g := range e.paths {
		if g.match(segments, e.deny) {
			return true
		}
		if n := len(segments); e.deny && n > 1 && segments[n-1] == "" && g.match(segments[:n-1], true) {
			return true
		}
	}
	return false
}

// tcp says whether the tunnel's bytes are carried as they are: a tcp rule
// allows it, and no rule must see inside.
func (v *view) tcp() bool {
	return v.carry != nil && !v.sees && !v.opens && !v.request.Kind.request() && !v.forSecret()
}

func (v *view) forSecret() bool { return v.policy.forSecret(v.host, v.request.Port) }

func (v *view) inspect() bool {
	switch {
	case v.sees, v.forSecret():
		return true
	case v.setting != nil:
		return v.setting.inspect == InspectAlways
	default:
		return v.policy.inspect == InspectAlways
	}
}

func (v *view) admission() Decision {
	d := Decision{Allow: true, Host: v.host, Rule: v.allow.name, Reason: v.host + " is allowed", Budget: v.allow.budget}
	switch {
	case v.request.Kind.request():
	case v.tcp():
		d.TCP, d.Rule, d.Budget = true, v.carry.name, v.carry.budget
	case v.inspect():
		d.Inspect, d.Budget = true, 0
	}
	v.scanning(&d)
	return d
}

// subject is what was asked for, in words.
func (v *view) subject() string {
	if !v.request.Kind.request() {
		return listing(v.host, v.request.Port)
	}
	path := v.request.Path
	if path == "" {
		path = "/"
	}
	return fmt.Sprintf("%s %s of %s", clip(v.request.Method), clip(path), v.host)
}

// refusal says what the nearest rule allows instead.
func (v *view) refusal() Decision {
	d := Decision{Host: v.host, Rule: RuleDefault, Reason: v.host + " is not on the allowlist", Remedy: remedy(v.host, v.request)}
	switch {
	case v.near == nil:
	case v.near.takes(v.request.Port):
		d.Reason = fmt.Sprintf("%s is not allowed; of %s only %s is", v.subject(), v.host, v.near.terms())
		d.Remedy = ruleRemedy(v.host, v.request)
	default:
		d.Reason = fmt.Sprintf("port %d of %s is not on the allowlist; %s allows %s",
			v.request.Port, v.host, strconv.Quote(v.near.text()), v.near.ports())
	}
	return d
}

// terms are the methods and paths of a rule, in words.
func (e *entry) terms() string {
	terms := "every method"
	if len(e.methods) > 0 {
		terms = listed(e.methods)
	}
	if len(e.paths) > 0 {
		texts := make([]string, len(e.paths))
		for i, g := range e.paths {
			texts[i] = clip(g.text)
		}
		terms += " " + listed(texts)
	}
	return terms
}
