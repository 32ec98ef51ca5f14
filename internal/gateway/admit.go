package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// ruleUpstream is the rule of what was allowed and failed on the way.
const ruleUpstream = "upstream"

// failure is an allowed request that upstream did not answer; status is 502,
// or 504 where time ran out.
func failure(host string, port int, reason string, err error) *refusal {
	status := http.StatusBadGateway
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	return &refusal{
		status: status, outcome: audit.Failed, port: port, cause: err,
		decision: policy.Decision{Host: host, Rule: ruleUpstream, Reason: reason},
	}
}

// admit takes one request through every decision: by name, then by each
// address the name resolves to, once. What it returns is recorded: a passage
// as open, which the caller closes, or a refusal, which the caller gives.
func (s *server) admit(ctx context.Context, r policy.Request) (*passage, *refusal) {
	began := time.Now()
	for {
		p, refused := s.admitSince(ctx, r, began)
		if refused != takenOnce {
			return p, refused
		}
	}
}

// admitSince is admit of what was asked for at a time before. takenOnce says
// that it is to be decided anew.
func (s *server) admitSince(ctx context.Context, r policy.Request, began time.Time) (*passage, *refusal) {
	if refused := s.journal.ready(r); refused != nil {
		return nil, refused
	}
	if refused := s.over(r); refused != nil {
		return nil, refused
	}
	rules, d, waited := s.decide(ctx, r, began.Add(askHold))
	if !d.Allow {
		refused := s.journal.refused(r, denied(d, r.Port))
		s.gauges.took(r.Kind, time.Since(began)-waited)
		return nil, refused
	}
	if s.trial.on() {
		return nil, s.trial.refuse(r)
	}
	if refused := s.scanName(r, d); refused != nil {
		return nil, s.journal.refused(r, refused)
	}
	looking := time.Now()
	addrs, refused := s.addresses(ctx, rules, d.Host, r.Port)
	if refused != nil {
		return nil, s.journal.refused(r, refused)
	}
	waited += time.Since(looking)
	address := ""
	if len(addrs) > 0 {
		address = addrs[0].String()
	}
	p, refused := s.open(rules, r, d, addrs, address)
	if p != nil {
		p.began, p.waited = began, waited
	}
	return p, refused
}

// open records an allowed request and makes it a passage to address, where
// that is known. takenOnce is no refusal to give.
func (s *server) open(rules *policy.Policy, r policy.Request, d policy.Decision, addrs []netip.Addr, address string) (*passage, *refusal) {
	if refused := s.over(r); refused != nil {
		return nil, refused
	}
	if refused := s.afford(d, r.Port); refused != nil {
		return nil, s.journal.refused(r, refused)
	}
	once, ok := s.takeOnce(d)
	if !ok {
		return nil, takenOnce
	}
	p := &passage{
		server: s, policy: rules, request: r, decision: d, rule: s.budgets.of(d),
		host: d.Host, port: r.Port, addrs: addrs, event: eventOf(r, d), inspect: d.Inspect,
	}
	p.exempt = once
	p.event.ID = s.ids.Add(1)
	p.event.Phase = audit.Open
	p.event.Time = time.Now()
	p.event.Address = address
	p.began = p.event.Time
	s.remember(p) // before it is recorded: whatever changes from now on finds it
	if refused := s.journal.append(p.event); refused != nil {
		s.forget(p)
		return nil, refused
	}
	if now := s.policy(); now != rules { // it changed while this was decided
		s.reconsider(p, now)
	}
	return p, nil
}

// addresses resolves an allowed host and returns the addresses that may be
// dialled. It is empty when a name goes to the upstream proxy by name.
func (s *server) addresses(ctx context.Context, rules *policy.Policy, host string, port int) ([]netip.Addr, *refusal) {
	own, err := s.own.all()
	if err != nil { // without knowing the host's addresses, all may be
		return nil, failure(host, port, "the host's own addresses cannot be read", err)
	}
	var found []netip.Addr
	if addr, ok := rules.Resolve(host); ok {
		found = []netip.Addr{addr}
	} else if rules.ProxyFor(host) != nil {
		return nil, nil
	} else if found, err = s.lookup(ctx, host); err != nil {
		return nil, failure(host, port, lookupReason(host, err), err)
	}
	var allowed []netip.Addr
	var first *policy.Decision
	for _, addr := range found {
		d := rules.DecideAddress(host, addr, own)
		switch {
		case d.Allow && len(allowed) < maxDial:
			allowed = append(allowed, addr.Unmap())
		case !d.Allow && first == nil:
			first = &d
		}
	}
	if len(allowed) > 0 {
		return allowed, nil
	}
	if first == nil {
		return nil, failure(host, port, host+" has no address", nil)
	}
	return nil, denied(*first, port)
}

// lookup resolves host as an absolute name, so that no search domain of the
// gateway's resolv.conf turns it into another one.
func (s *server) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.dial)
	defer cancel()
	return s.out.resolver.LookupNetIP(ctx, "ip", host+".")
}

// lookupReason says why a name did not resolve, without the resolver's
// address, which is the host's business.
func lookupReason(host string, err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return host + " does not exist"
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return "looking up " + host + " took too long"
	default:
		return "looking up " + host + " failed"
	}
}
