package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// maxGrants bounds the rules that a person adds to one run.
const maxGrants = 256

// live is the policy as people change it while the gateway works: what the
// bottle was started with, and the rules that were added since.
type live struct {
	mu     sync.Mutex // guards the rest, and the order of changes
	base   policy.Egress
	grants []*grant
	ended  bool
	count  int
}

// grant is one rule that a person added.
type grant struct {
	rule  policy.Rule
	timer *time.Timer // nil for the whole run
	once  bool        // ends with the first connection that it lets through
}

// errRefusedStill is a rule that changes nothing, since another one denies.
var errRefusedStill = errors.New("a rule that denies wins")

// errUnseen is a rule about what this gateway cannot see.
var errUnseen = errors.New("the rule is about what is inside TLS, and this bottle was started without one that is: put it into the manifest and start again")

// allow adds a rule and returns how many connections that cut: none, unless
// the rule denies.
func (s *server) allow(a wire.Allow) (int, error) {
	if a.For < 0 {
		return 0, errors.New("the time is negative")
	}
	span := "to the end of the run"
	if a.For > 0 {
		span = "for " + a.For.String()
	}
	cut, _, err := s.grant(a.Rule, a.For, false, fmt.Sprintf("added by %s, %s", a.Who, span))
	return cut, err
}

// grant adds a rule, records why, and puts it in force.
func (s *server) grant(rule policy.Rule, span time.Duration, once bool, why string) (int, *grant, error) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	if len(s.live.grants) >= maxGrants {
		return 0, nil, fmt.Errorf("%d rules were added already: a manifest is the place for more", maxGrants)
	}
	if s.inspector == nil && rule.Port == 443 && len(rule.Methods)+len(rule.Paths) > 0 {
		return 0, nil, errUnseen
	}
	s.live.count++
	g := &grant{rule: rule, once: once}
	g.rule.Source = fmt.Sprintf("person %d", s.live.count)
	if once {
		g.rule.Source += onceMark
	}
	grants := append(slices.Clone(s.live.grants), g)
	rules, err := compileWith(s.live.base, grants)
	if err != nil {
		return 0, nil, err
	}
	if err := effective(rules, rule); err != nil {
		return 0, nil, err
	}
	if err := s.note(rule.Host, rule.Port, g.rule.Source, why); err != nil {
		return 0, nil, err
	}
	s.live.grants = grants
	if span > 0 {
		g.timer = time.AfterFunc(span, func() { s.revoke(g, "its time is over") })
	}
	return s.enforce(rules), g, nil
}

// effective refuses a rule that would change nothing because another denies.
func effective(rules *policy.Policy, rule policy.Rule) error {
	if rule.Deny || strings.HasPrefix(rule.Host, "*.") {
		return nil
	}
	d := rules.Decide(policy.Request{Kind: policy.DNS, Host: rule.Host})
	if !d.Allow {
		return fmt.Errorf("%w: %s (%s)", errRefusedStill, d.Reason, d.Rule)
	}
	return nil
}

// onceMark ends the source of a rule that is for one connection.
const onceMark = ", once"

// forOnce says whether d was made by a rule for one connection. Elsewhere in a
// rule's name the mark may be a path's (TestOnceIsNoPath).
func forOnce(d policy.Decision) bool { return strings.HasSuffix(d.Rule, onceMark+")") }

// takenOnce refuses what another connection was quicker to use.
var takenOnce = &refusal{}

// takeOnce uses the grant for one connection that d was made by, if it was made
// by one, and returns whether that is so; ok is false where another connection
// has used it. Of an inspected tunnel the first request inside uses it.
func (s *server) takeOnce(d policy.Decision) (once, ok bool) {
	if !forOnce(d) {
		return false, true
	}
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	for _, g := range s.live.grants {
		if !g.once || !strings.HasSuffix(d.Rule, "("+g.rule.Source+")") {
			continue
		}
		if !d.Inspect {
			s.revokeLocked(g, "it was used")
		}
		return true, true
	}
	return false, false
}

// revoke takes a grant back, if it still holds.
func (s *server) revoke(g *grant, why string) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	s.revokeLocked(g, why)
}

func (s *server) revokeLocked(g *grant, why string) {
	i := slices.Index(s.live.grants, g)
	if i < 0 || s.live.ended {
		return
	}
	if g.timer != nil {
		g.timer.Stop()
	}
	grants := slices.Delete(slices.Clone(s.live.grants), i, i+1)
	rules, err := compileWith(s.live.base, grants)
	if err != nil { // less of what compiled: cannot be
		return
	}
	s.live.grants = grants
	s.enforce(rules)
	_ = s.note(g.rule.Host, g.rule.Port, g.rule.Source, "taken back: "+why) // it holds no longer, recorded or not
}

// errAllowedStay is a policy with other allowed values than the scanner was built
// for (TestReplaceKeepsWhatIsLookedFor).
var errAllowedStay = errors.New("scan: {allow: ...} is what the bottle was started with: start again to change it")

// replace puts another policy in force.
func (s *server) replace(r wire.Replace) (int, error) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	r.Policy.Secrets = s.live.base.Secrets // whose values are those of the start
	if !slices.Equal(r.Policy.Scan.Allowed, s.live.base.Scan.Allowed) {
		return 0, errAllowedStay
	}
	rules, err := compileWith(r.Policy, s.live.grants)
	if err != nil {
		return 0, err
	}
	if err := s.note("", 0, "policy", fmt.Sprintf("replaced by %s: %s", r.Who, r.Why)); err != nil {
		return 0, err
	}
	s.live.base = r.Policy
	return s.enforce(rules), nil
}

// compileWith is base with the rules that were added to it.
func compileWith(base policy.Egress, grants []*grant) (*policy.Policy, error) {
	base.Rules = slices.Clone(base.Rules)
	for _, g := range grants {
		base.Rules = append(base.Rules, g.rule)
	}
	return policy.Compile(base)
}

// enforce makes rules those in force, in one step, asks nobody any longer about
// what they allow, and cuts what they do not allow any longer. It returns how much
// that was (TestLiveChange).
func (s *server) enforce(rules *policy.Policy) int {
	s.rules.Store(rules)
	s.asking.spare(rules)
	s.budgets.total.limit.Store(rules.Budget())
	s.mu.Lock()
	open := make([]*passage, 0, len(s.passages))
	for p := range s.passages {
		open = append(open, p)
	}
	s.mu.Unlock()
	cut := 0
	for _, p := range open {
		if s.reconsider(p, rules) {
			cut++
		}
	}
	return cut
}

// reconsider cuts a passage that rules would not let through, and says so.
func (s *server) reconsider(p *passage, rules *policy.Policy) bool {
	why := s.objection(p, rules)
	if why == nil || p.exempt && why.Rule == policy.RuleDefault {
		return false
	}
	why.Reason = "it was cut by a change of the policy: " + why.Reason
	p.cut(denied(*why, p.port))
	return true
}

func (s *server) objection(p *passage, rules *policy.Policy) *policy.Decision {
	d := rules.Decide(p.request)
	switch {
	case !d.Allow:
		return &d
	case d.Inspect && !p.inspect: // the next one is
		return &policy.Decision{Host: p.host, Rule: d.Rule, Reason: "what is inside has to be seen now"}
	}
	s.budgets.of(d) // with the limit that it has now
	own, err := s.own.all()
	if err != nil {
		return &policy.Decision{Host: p.host, Rule: policy.RuleOwn, Reason: "the host's own addresses cannot be read"}
	}
	for _, addr := range p.reaches() {
		if d := rules.DecideAddress(p.host, addr, own); !d.Allow {
			return &d
		}
	}
	return nil
}

// endLive stops what would change the policy later.
func (s *server) endLive() {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	s.live.ended = true
	for _, g := range s.live.grants {
		if g.timer != nil {
			g.timer.Stop()
		}
	}
}
