package gateway

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// passage is one allowed request or tunnel on its way: recorded as open, and
// to be closed exactly once.
type passage struct {
	server   *server
	policy   *policy.Policy // that allowed it
	request  policy.Request
	decision policy.Decision
	rule     *budget
	event    audit.Event
	host     string // normalised
	port     int
	addrs    []netip.Addr // checked; the first is dialled first; see aim
	exempt   bool         // allowed this once: that nothing lists it any longer does not cut it

	strict bool // the gateway's own, with a secret: only the person's roots vouch

	began   time.Time     // when it was asked for
	waited  time.Duration // of the time since, for others: a person, a name, a connection
	sentOn  sync.Once
	inspect bool // what is inside is decided request by request

	sent, received atomic.Int64

	mu    sync.Mutex // guards the rest
	conns []net.Conn // to the world
	to    netip.Addr // that they lead to, where the gateway itself dialled it
	ended *refusal   // why it was cut
}

// spend counts n bytes that are about to leave. An error says that they may
// not.
func (p *passage) spend(n int) error {
	p.ready()
	if err := p.pay(int64(n)); err != nil {
		return err
	}
	p.sent.Add(int64(n))
	p.server.gauges.sent.Add(int64(n))
	return nil
}

// ready counts what the gateway added to the time until here, where what was
// asked for goes on. Only the first call counts.
func (p *passage) ready() {
	p.sentOn.Do(func() { p.server.gauges.took(p.request.Kind, time.Since(p.began)-p.waited) })
}

// receive counts n bytes on their way to the bottle.
func (p *passage) receive(n int) error {
	p.received.Add(int64(n))
	p.server.gauges.received.Add(int64(n))
	return nil
}

// deliver is receive for a piece of an answer, of which nothing goes on once the
// passage was cut: that it was there already does not matter.
func (p *passage) deliver(n int) error {
	if why := p.cutBy(); why != nil {
		return why
	}
	return p.receive(n)
}

// bind makes conn, which leads to addr where that is known, end with the
// passage, should that be cut. The connection of a passage that was cut
// already is closed.
func (p *passage) bind(conn net.Conn, addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conn)
	p.to = addr
	if p.ended != nil {
		conn.Close()
	}
}

// aim puts other addresses that were checked in the place of those that there
// were.
func (p *passage) aim(addrs []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addrs, p.to = addrs, netip.Addr{}
}

// leads says where a connection leads that the passage uses and others too.
func (p *passage) leads(addr netip.Addr) {
	p.mu.Lock()
	p.to = addr
	p.mu.Unlock()
	if now := p.server.policy(); now != p.policy { // nothing looked at addr when it changed
		p.server.reconsider(p, now)
	}
}

// cut ends what the passage carries, because of why.
func (p *passage) cut(why *refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = why
	}
	for _, conn := range p.conns {
		conn.Close()
	}
}

// reaches are the addresses that the passage leads to, or may.
func (p *passage) reaches() []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.to.IsValid() {
		return []netip.Addr{p.to}
	}
	return p.addrs
}

// cutBy says why the passage was cut; nil when it was not.
func (p *passage) cutBy() *refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// close records the end with its totals. failed says what upstream did wrong,
// nil for an ordinary end.
func (p *passage) close(failed *refusal) {
	p.server.forget(p)
	if why := p.cutBy(); why != nil {
		failed = why
	}
	e := p.event
	e.Phase = audit.Close
	e.Duration = time.Since(e.Time).Seconds()
	e.Time = time.Time{}
	e.Sent, e.Received = p.sent.Load(), p.received.Load()
	if failed != nil {
		e.Decision, e.Rule, e.Reason = failed.outcome, failed.decision.Rule, failed.decision.Reason
	}
	_ = p.server.journal.append(e) // a failure cuts everything; there is nobody to tell
}

// remember registers a passage, so that a change of the policy finds it.
func (s *server) remember(p *passage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passages[p] = struct{}{}
}

func (s *server) forget(p *passage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.passages, p)
}
