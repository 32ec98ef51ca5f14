package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

const (
	// askHold is how long a request waits for a person, and lookupHold how
	// long a DNS question does, which resolvers ask again after some seconds.
	askHold    = 60 * time.Second
	lookupHold = 4 * time.Second
	// onceSpan is how long an answer "once" waits for the connection it is for.
	onceSpan = time.Minute
	// maxHeld bounds the questions that requests wait for at one time, and
	// maxAsked those that are remembered.
	maxHeld  = 32
	maxAsked = 512
)

// asking is how a bottle's requests for unlisted names become questions to a
// person, while one attends. One question a name: while it is open every
// request for the name waits for it, and one that was answered for the run, or
// that nobody answered in time, is not asked again. An answer "once" is for one
// of those that wait; about the others the person is asked anew. Nothing on the
// bottle's side answers (TestAsking).
type asking struct {
	mu     sync.Mutex // guards the rest
	people map[*person]struct{}
	asked  map[string]*question // by host
	held   int                  // of those, that requests wait for
	last   uint64
}

// person is one who attends.
type person struct {
	news chan wire.Question
	left context.CancelFunc
}

// question is one about a name.
type question struct {
	wire.Question
	request policy.Request // that it shows
	until   time.Time
	timer   *time.Timer
	over    chan struct{} // closed when nothing waits for it any longer
	said    wire.Verdict  // what a person said; empty until then
	held    bool
	moot    bool // the policy allows what it shows by now: nothing is to be asked
}

// decide is the policy's decision about r. A request for an unlisted name
// that a person may be asked about waits for the answer, up to a time, and is
// decided again; waited says how long that took.
func (s *server) decide(
	ctx context.Context, r policy.Request, until time.Time,
) (rules *policy.Policy, d policy.Decision, waited time.Duration) {
	rules = s.policy()
	d = rules.Decide(r)
	if d.Allow || !s.mayAsk(rules, r, d) {
		return rules, d, 0
	}
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	held := until
	if r.Kind == policy.DNS { // which resolvers ask again
		held = began.Add(askHold)
	}
	outcome := ""
	for ctx.Err() == nil {
		q := s.asking.ask(r, d.Host, held, s.giveUp)
		if q == nil {
			break
		}
		if now := s.policy(); now != rules { // it was changed before the question could be seen
			s.asking.spare(now)
		}
		select {
		case <-q.over:
		case <-ctx.Done():
		}
		rules = s.policy()
		d = rules.Decide(r)
		if d.Allow {
			return rules, d, time.Since(began)
		}
		outcome = s.asking.outcome(q)
		if ctx.Err() != nil || !s.askAgain(q, d) {
			break
		}
	}
	d.Reason += outcome
	return rules, d, time.Since(began)
}

// askAgain says whether a person is asked about what d refuses still, though
// they answered: they allowed another request, and no more than that one. The
// name counts as unlisted although that request may have yet to go.
func (s *server) askAgain(q *question, d policy.Decision) bool {
	said, moot := s.asking.end(q)
	return (said == wire.Once || moot) && d.Rule == policy.RuleDefault
}

// mayAsk says whether a person may be asked about what d refuses now.
func (s *server) mayAsk(rules *policy.Policy, r policy.Request, d policy.Decision) bool {
	return !s.trial.on() && s.asking.attended() && rules.AsksAbout(r, d, s.own.all)
}

func (a *asking) attended() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.people) > 0
}

// ask returns the question about host to wait for, asking it, up to a time, if
// need be; nil when it cannot be asked.
func (a *asking) ask(r policy.Request, host string, until time.Time, late func(*question)) *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.asked[host]; q != nil { // of one that is over, over says so
		return q
	}
	if len(a.people) == 0 || a.held >= maxHeld || len(a.asked) >= maxAsked {
		return nil
	}
	a.last++
	q := &question{
		Question: wire.Question{ID: a.last, Host: host, Port: r.Port, Kind: string(r.Kind), Method: r.Method, Path: r.Path},
		request:  r, until: until, over: make(chan struct{}), held: true,
	}
	q.timer = time.AfterFunc(time.Until(until), func() { late(q) })
	if a.asked == nil {
		a.asked = map[string]*question{}
	}
	a.asked[host] = q
	a.held++
	a.tell(q)
	return q
}

// giveUp lets requests no longer wait for q.
func (s *server) giveUp(q *question) {
	s.asking.mu.Lock()
	defer s.asking.mu.Unlock()
	s.asking.release(q)
	s.asking.tell(q)
}

// release lets nothing wait for q. The caller holds the lock.
func (a *asking) release(q *question) {
	if q.held {
		q.held = false
		a.held--
		q.timer.Stop()
		close(q.over)
	}
}

// tell tells everybody about q. Who does not listen has left. The caller holds
// the lock.
func (a *asking) tell(q *question) {
	for p := range a.people {
		select {
		case p.news <- a.said(q):
		default:
			p.left()
		}
	}
}

// said is q as it is sent.
func (a *asking) said(q *question) wire.Question {
	out := q.Question
	if q.held {
		out.Held = max(time.Until(q.until), time.Millisecond)
	}
	return out
}

// outcome is how q ended, for a refusal.
func (a *asking) outcome(q *question) string {
	said, _ := a.end(q)
	switch said {
	case wire.Refuse:
		return "; a person was asked and said no"
	case wire.Once:
		return "; a person was asked and allowed one other request"
	case wire.ForRun:
		return "; a person was asked and allowed other requests"
	default:
		return "; a person was asked and has not answered"
	}
}

// end is what a person said about q, empty if nobody did, and whether nobody
// needed to.
func (a *asking) end(q *question) (said wire.Verdict, moot bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return q.said, q.moot
}

// spare ends the questions about requests that rules allow, without an answer: a
// person has changed the policy by another way than by answering. What a rule
// allows for one connection is not for those that wait besides.
func (a *asking) spare(rules *policy.Policy) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for host, q := range a.asked {
		if q.said != "" {
			continue
		}
		if d := rules.Decide(q.request); d.Allow && !forOnce(d) {
			delete(a.asked, host)
			q.moot, q.Over = true, true
			a.release(q)
			a.tell(q)
		}
	}
}

// arrive adds a person and returns them, told of every question that is open.
func (a *asking) arrive(left context.CancelFunc) *person {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := &person{news: make(chan wire.Question, maxAsked+maxHeld), left: left}
	if a.people == nil {
		a.people = map[*person]struct{}{}
	}
	a.people[p] = struct{}{}
	for _, q := range a.asked {
		if q.said == "" {
			p.news <- a.said(q)
		}
	}
	return p
}

// leave removes a person. When nobody is left nothing waits any longer.
func (a *asking) leave(p *person) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.people, p)
	if len(a.people) > 0 {
		return
	}
	for _, q := range a.asked {
		a.release(q)
	}
}

// take removes the question with an ID, to be answered.
func (a *asking) take(id uint64) *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	for host, q := range a.asked {
		if q.ID == id && q.said == "" {
			delete(a.asked, host)
			return q
		}
	}
	return nil
}

// settle ends a question that was taken: with no, it stays remembered.
func (a *asking) settle(q *question, said wire.Verdict) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q.said = said
	if said == wire.Refuse {
		a.asked[q.Host] = q
	}
	a.release(q)
	q.Over = true
	a.tell(q)
}

// restore puts a question back that could not be answered, and says why.
func (a *asking) restore(q *question, why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q.Problem = why.Error()
	a.asked[q.Host] = q
	a.tell(q)
}

var errNoQuestion = errors.New("there is no such question")

// heed does what a person said about a question.
func (s *server) heed(a wire.Answer) error {
	q := s.asking.take(a.ID)
	if q == nil {
		return errNoQuestion
	}
	err := s.obey(a, q)
	if err != nil {
		s.asking.restore(q, err)
		return nil
	}
	s.asking.settle(q, a.Verdict)
	return nil
}

func (s *server) obey(a wire.Answer, q *question) error {
	switch a.Verdict {
	case wire.Once:
		_, _, err := s.grant(q.once(), onceSpan, true, "allowed once by "+a.Who)
		return err
	case wire.ForRun:
		_, _, err := s.grant(a.Rule, 0, false, fmt.Sprintf("allowed by %s, to the end of the run", a.Who))
		return err
	case wire.Refuse:
		return s.note(q.Host, q.Port, "person", "refused by "+a.Who)
	default:
		return fmt.Errorf("%w: a verdict that is none", wire.ErrProtocol)
	}
}

// once is the rule for the request that q shows, and no other: as narrow as
// what the gateway sees of it.
func (q *question) once() policy.Rule {
	request := policy.Request{Kind: policy.Kind(q.Kind), Port: q.Port, Method: q.Method, Path: q.Path}
	if rule, ok := policy.Narrowest(q.Host, request); ok {
		return rule
	}
	rule := policy.Rule{Host: q.Host}
	if q.Port != 80 && q.Port != 443 {
		rule.Port = q.Port
	}
	return rule
}

// attend serves a person.
func (d *desk) attend(ctx context.Context, conn *wire.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	p := d.asking.arrive(cancel)
	reading := hangUp(conn, cancel, func(f wire.Frame) error {
		var a wire.Answer
		if f.Kind != wire.KindAnswer {
			return errNothingExpected
		}
		if err := f.Decode(&a); err != nil {
			return err
		}
		if err := d.heed(a); err != nil && !errors.Is(err, errNoQuestion) {
			return err
		}
		return nil
	})
	defer reading.Wait()
	defer conn.Close()
	defer d.asking.leave(p)
	if err := conn.WriteJSON(wire.KindReady, struct{}{}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case q := <-p.news:
			if err := conn.WriteJSON(wire.KindQuestion, q); err != nil {
				return err
			}
		}
	}
}
