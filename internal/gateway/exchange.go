package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// exchange decides one request, carries it upstream and its response back. It
// says whether the client may send another one.
func (c *session) exchange(ctx context.Context, r request) bool {
	to, path, refused := c.way.aim(r)
	p := policy.Request{Kind: c.way.kind(), Host: to.host, Port: to.port, Method: r.method, Path: recordPath(path)}
	if refused != nil {
		return c.refuse(p, r, refused, true)
	}
	body, err := r.body()
	if err == nil {
		err = r.sane()
	}
	if err != nil {
		return c.refuse(p, r, malformed(err.Error()), true)
	}
	var seen []sighting
	r.fields, seen, refused = c.screenHead(p, path, r.fields)
	if refused != nil {
		return c.refuse(p, r, refused, true)
	}
	r, use, refused := c.mediateRequest(ctx, p, r, to, path, body)
	if refused != nil {
		return c.refuse(p, r, refused, use.read || !body.empty())
	}
	pass, up, refused := c.upstreamFor(ctx, p, to)
	if refused != nil {
		return c.answer(r, refused, !body.empty())
	}
	pass.event.Secrets = strings.Join(use.used, ",")
	t := &transfer{session: c, request: r, use: use, to: to, body: body, pass: pass, up: up}
	if use.read {
		t.body = framing{length: int64(len(use.body))}
	}
	if refused := t.scan(path, seen); refused != nil {
		pass.close(refused)
		return c.answer(r, refused, !body.empty())
	}
	again, failed := t.run(ctx)
	if why := pass.cutBy(); why != nil {
		failed = why
	}
	pass.close(failed)
	if failed == nil {
		return again
	}
	c.dropUpstream()
	if t.answered { // too late to say anything else
		return false
	}
	return c.answer(r, failed, true)
}

// sane refuses what no honest client sends and what would make the gateway's
// reading differ from upstream's.
func (r request) sane() error {
	if r.method == "CONNECT" || r.method == "PRI" {
		return errors.New("the method has no place here")
	}
	if r.fields.misnamed() {
		return errors.New("the Connection field names a field that is not for this hop")
	}
	if _, n := r.fields.get("upgrade"); n > 0 && r.fields.has("upgrade", "h2c") {
		return errors.New("the upgrade to h2c is not carried")
	}
	if expect, n := r.fields.get("expect"); n > 1 || n == 1 && !strings.EqualFold(expect, "100-continue") {
		return errors.New("the expectation is unknown")
	}
	return nil
}

// websocket says whether r asks to become one (RFC 6455, 4.1). Every other
// upgrade is dropped, which means "no" to the client.
func (r request) websocket() bool {
	upgrade, n := r.fields.get("upgrade")
	return n == 1 && strings.EqualFold(upgrade, "websocket") && r.fields.has("connection", "upgrade") &&
		r.method == "GET" && r.minor == 1
}

// upstream is a connection to one place.
type upstream struct {
	to   authority
	conn net.Conn
	br   *bufio.Reader
	// address is where conn leads, for the record.
	address string
	policy  *policy.Policy // that judged it
	addrs   []netip.Addr   // that it was chosen from
	reached netip.Addr     // the one of them; invalid behind a proxy
	used    bool
	secure  bool // over TLS of ours
	// prefix and auth are for a proxy on the way: what stands before a path,
	// and its credentials.
	prefix, auth string
}

// upstreamFor admits p and finds the connection for it: the one that the last
// request used, if it goes to the same place and still lives, else a fresh
// one. None that was kept outlives the policy that judged its address
// (TestKeptConnectionIsJudgedAnew).
func (c *session) upstreamFor(ctx context.Context, p policy.Request, to authority) (*passage, *upstream, *refusal) {
	rules := c.policy()
	if c.up != nil && (c.up.to != to || c.up.policy != rules || !alive(c.up)) {
		c.dropUpstream()
	}
	if c.up != nil {
		d := rules.Decide(p)
		if !d.Allow && !c.mayAsk(rules, p, d) {
			return nil, nil, c.journal.refused(p, denied(d, p.Port))
		}
		pass, refused := (*passage)(nil), takenOnce
		if d.Allow {
			pass, refused = c.open(rules, p, d, c.up.addrs, c.up.address)
		}
		switch {
		case refused == takenOnce: // a person is to be asked, which takes its time
			c.dropUpstream()
		case refused != nil:
			return nil, nil, refused
		default:
			pass.bind(c.up.conn, c.up.reached)
			return pass, c.up, nil
		}
	}
	pass, refused := c.admit(ctx, p)
	if refused != nil {
		return nil, nil, refused
	}
	up, failed := c.dialOrigin(ctx, pass, to)
	if failed != nil {
		pass.close(failed)
		return nil, nil, failed
	}
	c.up = up
	return pass, up, nil
}

func (c *session) dropUpstream() {
	if c.up != nil {
		c.drop(c.up.conn)
		c.up = nil
	}
}

// dialOrigin connects for what the client speaks.
func (c *session) dialOrigin(ctx context.Context, p *passage, to authority) (*upstream, *refusal) {
	if c.way.secure {
		return c.dialHTTPS(ctx, p, to)
	}
	return c.dialHTTP(ctx, p, to)
}

// dialHTTP connects for plain HTTP: to the origin, or to the manifest's proxy,
// which is then sent the absolute form, since many proxies allow CONNECT to
// port 443 alone. A fixed address takes CONNECT all the same: an absolute form
// with the address would lose the name.
func (s *server) dialHTTP(ctx context.Context, p *passage, to authority) (*upstream, *refusal) {
	up := &upstream{to: to}
	var failed *refusal
	if proxy := p.policy.ProxyFor(p.host); proxy != nil && len(p.addrs) == 0 {
		up.prefix, up.auth = "http://"+to.text(80), basicAuth(proxy.User)
		up.conn, failed = s.dialToProxy(ctx, p, proxy)
	} else {
		up.conn, failed = s.dial(ctx, p)
	}
	if failed != nil {
		return nil, failed
	}
	up.address, up.policy, up.addrs, up.reached = p.event.Address, p.policy, p.addrs, p.to
	up.br = bufio.NewReaderSize(up.conn, readerSize)
	return up, nil
}

// alive says whether an idle upstream connection is worth another request: it
// must have nothing to say and not be at its end.
func alive(up *upstream) bool { return up.br.Buffered() == 0 && quiet(up.conn) }

// outgoing is the request's head as upstream gets it: the same, without what
// was for this hop, and framed by us.
func (t *transfer) outgoing() []byte {
	r := t.request
	b := make([]byte, 0, 1024)
	b = append(b, r.method...)
	b = append(b, ' ')
	b = append(b, t.up.prefix...)
	if t.up.prefix == "" || t.use.path != "*" { // RFC 9112, 3.2.4: a proxy gets no path at all
		b = append(b, t.use.path...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, t.to.text(standardPort(t.up.secure))...)
	b = append(b, "\r\n"...)
	if t.up.auth != "" {
		b = fmt.Appendf(b, "Proxy-Authorization: %s\r\n", t.up.auth)
	}
	b = r.fields.forward(func(f field) bool { return f.is("host") }).appendTo(b, "")
	if r.fields.has("te", "trailers") {
		b = append(b, "TE: trailers\r\nConnection: TE\r\n"...)
	}
	if r.websocket() {
		b = append(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	}
	return t.body.appendTo(b, r)
}

// appendTo writes the body's framing and the end of the head.
func (f framing) appendTo(b []byte, r request) []byte {
	_, stated := r.fields.get("content-length")
	switch {
	case f.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case f.length > 0 || stated > 0:
		b = fmt.Appendf(b, "Content-Length: %d\r\n", f.length)
	}
	return append(b, "\r\n"...)
}

// text is the authority as a Host field has it, without the scheme's standard
// port.
func (a authority) text(standard int) string {
	host := a.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if a.port == standard {
		return host
	}
	return host + ":" + strconv.Itoa(a.port)
}

// broken is a failure of upstream's while a request is under way.
func (t *transfer) broken(reason string, err error) *refusal {
	return failure(t.to.host, t.to.port, reason, err)
}

// gone is the end of a client in the middle of its request or response.
func (t *transfer) gone() *refusal { return gone(t.to) }

func gone(to authority) *refusal {
	return &refusal{status: 400, outcome: audit.Failed, port: to.port, decision: policy.Decision{
		Host: to.host, Rule: policy.RuleSyntax, Reason: "the client went away before the end",
	}}
}
