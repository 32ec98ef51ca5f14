package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// A secret is renewed renewalLead before it expires. A failure is tried again
// after renewalPause, twice as long each time, up to renewalPatience.
const (
	renewalLead     = 5 * time.Minute
	renewalPause    = 5 * time.Second
	renewalPatience = 5 * time.Minute
	renewalAnswer   = 64 << 10 // bytes
)

// renewer keeps one secret from expiring. The refresh token goes to the
// endpoint alone, over TLS that only the person's own roots vouch for, and the
// bottle sees neither it nor the answer.
type renewer struct {
	*server
	name    string
	renewal broker.Renewal
	turns   *turns

	mu    sync.Mutex // guards fresh
	fresh chan struct{}
}

// newRenewers are those of the secrets that expire.
func (s *server) newRenewers(secrets []broker.Secret, turns *turns) {
	for _, secret := range secrets {
		if secret.Renewal == nil {
			continue
		}
		r := &renewer{server: s, name: secret.Name, renewal: *secret.Renewal, turns: turns, fresh: make(chan struct{})}
		if time.Until(r.renewal.Expires) > renewalLead {
			close(r.fresh)
		}
		s.renewers = append(s.renewers, r)
	}
}

// awaitFresh waits, where a secret for a place is being renewed, since what is
// there of it is of no use. A request that waited in vain goes on with it.
func (s *server) awaitFresh(ctx context.Context, to authority) {
	if len(s.renewers) == 0 || !s.concerns(to) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.dial)
	defer cancel()
	for _, r := range s.renewers {
		r.mu.Lock()
		fresh := r.fresh
		r.mu.Unlock()
		select {
		case <-fresh:
		case <-ctx.Done():
			return
		}
	}
}

// run renews until ctx ends, once the bottle is proved.
func (r *renewer) run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-r.turns.settled:
	}
	pause := time.Duration(0) // after a failure
	for {
		wait := max(time.Until(r.renewal.Expires)-renewalLead, pause, 0)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if r.renew(ctx) == nil {
			pause = 0
			continue
		}
		pause = min(max(2*pause, renewalPause), renewalPatience)
	}
}

// renew asks for another value once and puts it in place. It waits for its turn
// among the runs that have this login, and where one of them has renewed it
// meanwhile takes what that got. The record has a line of what is asked before
// anything leaves, and of its failure one more. Once the endpoint has answered
// the former refresh token may be worth nothing, so what it gave is handed on
// before all else that can fail, also when the gateway is told to end meanwhile
// (TestRenewalNeedsTheRecord, TestRenewalOutlivesTheRecord, TestRenewalHasGrace).
func (r *renewer) renew(ctx context.Context) error {
	u, err := url.Parse(r.renewal.URL)
	if err != nil || u.Scheme != "https" {
		return errors.New("renew: the endpoint is no https URL")
	}
	p := policy.Request{Kind: policy.HTTPS, Host: u.Hostname(), Port: 443, Method: http.MethodPost, Path: u.EscapedPath()}
	turn, err := r.turns.take(ctx, r.name)
	if err != nil {
		return r.failed(p, err)
	}
	ctx, cancel := r.turns.grace(wire.RenewalTime)
	defer cancel()
	if kept, is := broker.ParseLogin(turn.Login); is && kept.Refresh != r.renewal.Token {
		r.renewal.Token = kept.Refresh
		if time.Until(kept.Expires) > renewalLead {
			told := r.turns.give(r.name, "")
			return errors.Join(r.hold(p, kept, "another run renewed it"), told)
		}
	}
	login, err := r.ask(ctx, r.policy(), p)
	if err != nil {
		return errors.Join(r.failed(p, err), r.turns.give(r.name, ""))
	}
	told := r.turns.give(r.name, login.Text())
	return errors.Join(r.hold(p, login, "it was renewed"), told)
}

// hold puts a login in place of the one before, and says in the record why.
func (r *renewer) hold(p policy.Request, login broker.Login, why string) error {
	r.renewal.Token = login.Refresh
	r.watch.renewed(r.name, login.Value) // before anything holds it
	if err := r.broker.Renew(r.name, login.Value); err != nil {
		return r.failed(p, err)
	}
	r.renewal.Expires = login.Expires
	r.mu.Lock()
	select {
	case <-r.fresh:
	default:
		close(r.fresh)
	}
	r.mu.Unlock()
	e := r.line(p, why)
	e.Decision, e.Phase = audit.Allowed, audit.Close
	_ = r.journal.append(e) // nothing depends on it any more
	return nil
}

// line is the record's about a renewal.
func (r *renewer) line(p policy.Request, reason string) audit.Event {
	return eventOf(p, policy.Decision{Host: p.Host, Rule: "secret " + r.name, Reason: reason})
}

// failed records why a renewal came to nothing, and returns that.
func (r *renewer) failed(p policy.Request, why error) error {
	e := r.line(p, "it could not be renewed: "+why.Error())
	e.Decision = audit.Failed
	_ = r.journal.append(e) // why is an error already
	return why
}

// ask is the exchange with the endpoint, which begins with its line.
func (r *renewer) ask(ctx context.Context, rules *policy.Policy, p policy.Request) (broker.Login, error) {
	if r.inspector == nil {
		return broker.Login{}, errors.New("there are no roots to verify the endpoint with")
	}
	if d := rules.Decide(p); !d.Allow {
		return broker.Login{}, errors.New(d.Reason)
	}
	if refused := r.journal.append(r.line(p, "the gateway renews it")); refused != nil {
		return broker.Login{}, refused
	}
	to := authority{p.Host, p.Port}
	pass := &passage{server: r.server, policy: rules, host: p.Host, port: p.Port, strict: true}
	var refused *refusal
	if pass.addrs, refused = r.addresses(ctx, rules, p.Host, p.Port); refused != nil {
		return broker.Login{}, refused
	}
	body, err := broker.RenewalRequest(r.renewal)
	if err != nil {
		return broker.Login{}, err
	}
	defer clear(body)
	once := &http.Transport{DisableKeepAlives: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, failed := r.dialSecure(ctx, pass, to, protoHTTP1)
		if failed != nil {
			return nil, failed
		}
		r.spare(conn)
		return dropping{conn, r.server}, nil
	}}
	defer once.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.renewal.URL, bytes.NewReader(body))
	if err != nil {
		return broker.Login{}, errors.New("the endpoint is no URL")
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := once.RoundTrip(request)
	if err != nil {
		return broker.Login{}, errors.New("the endpoint gave no answer")
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return broker.Login{}, fmt.Errorf("the endpoint answered %d", answer.StatusCode)
	}
	room := make([]byte, 0, renewalAnswer+bytes.MinRead) // a buffer that grows would leave the login behind
	defer clear(room[:cap(room)])
	data := bytes.NewBuffer(room)
	if _, err := data.ReadFrom(io.LimitReader(answer.Body, renewalAnswer)); err != nil {
		return broker.Login{}, errors.New("the endpoint's answer broke off")
	}
	return broker.ParseRenewal(r.renewal, data.Bytes(), time.Now())
}

// dropping is a tracked connection that is dropped when it is closed.
type dropping struct {
	net.Conn
	server *server
}

// Close is the connection's, and drop's.
func (c dropping) Close() error {
	err := c.Conn.Close()
	c.server.drop(c.Conn)
	return err
}
