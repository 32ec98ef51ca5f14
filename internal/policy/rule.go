package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// RuleError is what is wrong with one of [Egress].Rules. The error of
// [Compile] joins them.
type RuleError struct {
	Index int    // in Egress.Rules
	Host  string // as it was written, bounded
	Err   error
}

// Error names the rule by its host.
func (e *RuleError) Error() string { return fmt.Sprintf("rule %q: %v", e.Host, e.Err) }

// String is the rule as decisions and the record name it.
func (r Rule) String() string {
	e, err := parseRule(r)
	if err != nil {
		return fmt.Sprintf("rule %q", clip(r.Host))
	}
	e.setName(map[string]string{})
	return e.name
}

// Unwrap is what is wrong with it.
func (e *RuleError) Unwrap() error { return e.Err }

// compileRules checks the rules one by one, then beside each other.
func (p *Policy) compileRules(e Egress) error {
	var errs []error
	var entries []*entry
	for i, r := range e.Rules {
		compiled, err := parseRule(r)
		if err != nil {
			errs = append(errs, &RuleError{Index: i, Host: clip(r.Host), Err: err})
			continue
		}
		compiled.index = i
		if compiled.inspect == "" && e.Inspect == InspectNever && compiled.sees() {
			errs = append(errs, &RuleError{Index: i, Host: clip(r.Host), Err: errors.New(
				"methods, paths and secrets are seen only where TLS is opened, which inspect: never of egress forbids; say inspect: auto in the rule")})
			continue
		}
		entries = append(entries, compiled)
	}
	errs = append(errs, contradictions(entries)...)
	for _, entry := range entries {
		p.add(entry)
	}
	return errors.Join(errs...)
}

func parseRule(r Rule) (*entry, error) {
	e := &entry{
		port: r.Port, deny: r.Deny, tcp: r.TCP, inspect: r.Inspect, budget: r.Budget, scan: r.Scan,
		source: r.Source, preset: r.Preset,
	}
	if err := e.parseHost(r.Host); err != nil {
		return nil, err
	}
	if r.Port < 0 || r.Port > 65535 {
		return nil, errPort
	}
	if err := e.parseMethods(r.Methods); err != nil {
		return nil, err
	}
	for _, path := range r.Paths {
		g, err := parseGlob(path)
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", clip(path), err)
		}
		e.paths = append(e.paths, g)
	}
	slices.SortFunc(e.paths, func(a, b glob) int { return cmp.Compare(a.text, b.text) })
	return e, e.consistent()
}

func (e *entry) parseHost(text string) error {
	if strings.Contains(text, "/") {
		return errors.New("a host, not a URL or a range, is wanted")
	}
	host, port, err := splitPort(text)
	if err != nil {
		return err
	}
	if port != 0 {
		return fmt.Errorf("write the port beside the host: {host: %q, port: %d}", clip(host), port)
	}
	return e.setHost(host)
}

// setHost takes a host without a port.
func (e *entry) setHost(host string) error {
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		host, e.below = rest, true
	}
	if strings.Contains(host, "*") {
		return errors.New(`"*" can only stand for whole labels at the beginning, as in "*.example.com"`)
	}
	var err error
	if e.host, err = Normalise(host); err != nil {
		return err
	}
	if _, literal := literalAddress(e.host); literal && e.below {
		return errors.New("nothing is below an address")
	}
	return nil
}

// maxMethod is longer than any registered method (RFC 9110, 16.1).
const maxMethod = 32

func (e *entry) parseMethods(methods []string) error {
	for _, m := range methods {
		switch {
		case m == "" || len(m) > maxMethod || strings.Trim(strings.ToUpper(m), "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != "":
			return fmt.Errorf("%q is not a method", clip(m))
		case m != strings.ToUpper(m):
			return fmt.Errorf("methods are in upper case: %q", strings.ToUpper(m))
		case m == "CONNECT":
			return errors.New("CONNECT opens a tunnel; a rule without methods allows it")
		}
		e.methods = append(e.methods, m)
	}
	slices.Sort(e.methods)
	e.methods = slices.Compact(e.methods)
	return nil
}

// consistent refuses what has no meaning together.
func (e *entry) consistent() error {
	switch {
	case !isInspect(e.inspect):
		return fmt.Errorf("inspect is auto, always or never, not %q", clip(e.inspect))
	case e.budget < 0:
		return errors.New("a budget is not negative")
	case !isScan(e.scan):
		return scanError(e.scan)
	case e.deny && e.scan != "":
		return errors.New("what is denied is not scanned")
	case e.tcp && e.scan != "":
		return errors.New("tcp carries bytes as they are, and nothing is seen in them that could be scanned")
	case e.inspect == InspectNever && e.scan != "":
		return errors.New("secrets are seen only where TLS is opened, which inspect: never forbids")
	case e.deny && e.tcp:
		return errors.New("deny refuses every way in; leave tcp out")
	case e.deny && e.inspect != "":
		return errors.New("deny and inspect have nothing to say together")
	case e.deny && e.budget != 0:
		return errors.New("what is denied has no budget")
	case e.tcp && e.port == 0:
		return errors.New("tcp needs a port")
	case e.tcp && e.sees():
		return errors.New("tcp carries bytes as they are, and nothing sees methods or paths in them")
	case e.tcp && e.inspect == InspectAlways:
		return errors.New("tcp carries bytes as they are, and inspect: always opens them")
	case e.inspect == InspectNever && e.sees():
		return errors.New("methods and paths are seen only where TLS is opened, which inspect: never forbids")
	}
	return nil
}

// contradictions are rules that can nowhere have their way: where a rule must
// see inside, a tunnel is opened, whatever another says. An exception below a
// wildcard is none.
func contradictions(entries []*entry) []error {
	var errs []error
	for _, shut := range entries {
		if !shut.tcp && shut.inspect != InspectNever {
			continue
		}
		word := "inspect: never"
		if shut.tcp {
			word = "tcp"
		}
		for _, open := range entries {
			if (open.sees() || shut.tcp && open.inspect == InspectAlways) && open.covers(shut) {
				errs = append(errs, &RuleError{Index: shut.index, Host: shut.pattern(), Err: fmt.Errorf(
					"%s cannot hold: the rule %q must see inside everywhere that it applies", word, open.text())})
				break
			}
		}
	}
	return errs
}

// covers says whether e is about every host and port that o is about.
func (e *entry) covers(o *entry) bool {
	host := e.host == o.host && e.below == o.below ||
		e.below && (o.host != e.host || o.below) && strings.HasSuffix("."+o.host, "."+e.host)
	return host && (e.port == o.port || e.port == 0 && (e.deny || o.port == 80 || o.port == 443))
}

// sees says whether e can only be judged by what is inside a tunnel.
func (e *entry) sees() bool { return len(e.methods) > 0 || len(e.paths) > 0 || e.scan != "" }

// setName gives e its name in decisions and in the record. It is unique among
// what says different things, since budgets are counted by it.
func (e *entry) setName(taken map[string]string) {
	var b strings.Builder
	b.WriteString("allow ")
	if e.deny {
		b.Reset()
		b.WriteString("deny ")
	}
	b.WriteString(e.text())
	if e.tcp {
		b.WriteString(" tcp")
	}
	if len(e.methods) > 0 {
		b.WriteString(" " + listed(e.methods))
	}
	if len(e.paths) > 0 {
		texts := make([]string, len(e.paths))
		for i, g := range e.paths {
			texts[i] = clip(g.text)
		}
		b.WriteString(" " + listed(texts))
	}
	var by []string
	if e.source != "" {
		by = append(by, e.source)
	}
	if e.preset != "" {
		by = append(by, "preset "+e.preset)
	}
	if len(by) > 0 {
		b.WriteString(" (" + strings.Join(by, ", ") + ")")
	}
	e.name = b.String()
	for n := 2; ; n++ {
		other, found := taken[e.name]
		if !found || other == e.identity() {
			break
		}
		e.name = b.String() + " #" + strconv.Itoa(n)
	}
	taken[e.name] = e.identity()
}

// identity is everything by which two entries differ.
func (e *entry) identity() string {
	paths := make([]string, len(e.paths))
	for i, g := range e.paths {
		paths[i] = g.text
	}
	return fmt.Sprintf("%v %q %d %q %q %v %v %s %d %q %q %q", e.below, e.host, e.port, e.methods, paths,
		e.deny, e.tcp, e.inspect, e.budget, e.scan, e.source, e.preset)
}

// listed bounds how much of a list is in a name.
func listed(words []string) string {
	const most = 4
	if len(words) > most {
		return strings.Join(words[:most], ",") + fmt.Sprintf(",+%d more", len(words)-most)
	}
	return strings.Join(words, ",")
}
