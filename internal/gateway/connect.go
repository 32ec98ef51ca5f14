package gateway

import (
	"bufio"
	"context"
	"errors"
	"os"
	"time"

	"claude-bottle/internal/policy"
)

// connect decides a CONNECT tunnel and looks at what the client says first in
// it: TLS whose server name agrees with the CONNECT name, or, but not on port
// 443, HTTP whose every Host does. Nothing else is carried: a tunnel to an
// allowed name on a shared address would reach whatever else is there
// (TestConnectNames). By a tcp rule everything is carried.
func (c *session) connect(ctx context.Context, r request) {
	to, refused := c.aimConnect(r)
	p := policy.Request{Kind: policy.Connect, Host: to.host, Port: to.port, Method: r.method}
	if refused != nil {
		c.refuse(p, r, refused, true)
		return
	}
	c.carry(ctx, p, to, connectTongue{r})
}

// tongue is how a client that asked for a tunnel is answered.
type tongue interface {
	established(c *session) error
	refused(c *session, why *refusal)
}

// carry decides about a tunnel and carries it.
func (c *session) carry(ctx context.Context, p policy.Request, to authority, say tongue) {
	pass, refused := c.admit(ctx, p)
	if refused != nil {
		say.refused(c, refused)
		return
	}
	t := &connection{session: c, pass: pass, to: to, say: say}
	pass.close(t.run(ctx))
}

// connectTongue answers a CONNECT.
type connectTongue struct{ r request }

func (connectTongue) established(c *session) error {
	_, err := c.conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n"))
	return err
}

func (t connectTongue) refused(c *session, why *refusal) { c.answer(t.r, why, true) }

// aimConnect reads where a CONNECT goes (RFC 9110, 9.3.6).
func (c *session) aimConnect(r request) (authority, *refusal) {
	to, refused := parseAuthority(r.target, 0)
	if refused != nil {
		return authority{}, refused
	}
	if to.port == 0 {
		return to, malformed("CONNECT wants a port")
	}
	host, hosts := r.fields.get("host")
	if hosts > 1 || hosts == 0 && r.minor == 1 {
		return to, malformed("there is not exactly one Host")
	}
	if hosts == 1 {
		named, refused := parseAuthority(host, to.port)
		if refused != nil {
			return to, refused
		}
		if named != to {
			return to, malformed("the Host does not agree with the CONNECT name")
		}
	}
	if body, err := r.body(); err != nil || !body.empty() {
		return to, malformed("CONNECT has no body")
	}
	return to, nil
}

// connection is one admitted tunnel, by CONNECT or SOCKS.
type connection struct {
	*session
	pass *passage
	to   authority
	say  tongue
	// up carries what is not looked into; nil where there is none yet, or failed
	// says why there is none.
	up     *upstream
	failed *refusal
}

// run dials before it says that the tunnel is there where only TLS may follow
// that is carried as it is, so that a failure is one that the client can read.
// Elsewhere what follows decides what a failure looks like; a connection for
// what is carried as it is comes to be while the client's first bytes are on
// their way.
func (t *connection) run(ctx context.Context) *refusal {
	if t.to.port == 443 && !t.pass.inspect || t.pass.decision.TCP {
		if failed := t.reach(ctx); failed != nil {
			t.say.refused(t.session, failed)
			return failed
		}
	}
	defer t.leave()
	if err := t.conn.SetWriteDeadline(time.Now().Add(t.limits.head)); err != nil {
		return nil
	}
	t.pass.ready()
	if err := t.say.established(t.session); err != nil {
		return nil
	}
	if t.pass.decision.TCP { // whoever speaks first, whatever is said
		t.tunnel(t.pass, end{t.conn, t.br}, end{t.up.conn, t.up.br})
		return nil
	}
	if t.up == nil && !t.pass.inspect {
		t.failed = t.reach(ctx)
	}
	if err := t.conn.SetReadDeadline(time.Now().Add(t.limits.head)); err != nil {
		return nil
	}
	first, err := t.br.Peek(1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return malformed("the client said nothing, and only what it says first shows what a tunnel is for").at(t.to.host, t.to.port)
	}
	if err != nil {
		return nil
	}
	switch {
	case first[0] == recordHandshake:
		return t.tls(ctx)
	case t.to.port == 443:
		why := denied(policy.Decision{
			Host: t.to.host, Rule: policy.RuleSyntax, Reason: errNotTLS.Error() + ", which port 443 is for",
		}, t.to.port)
		t.refuse(policy.Request{Kind: t.pass.request.Kind, Host: t.to.host, Port: t.to.port}, request{}, why, true)
		return nil
	default:
		inside := &session{server: t.server, conn: t.conn, br: t.br, way: way{to: t.to}, up: t.handOver()}
		inside.serve(ctx)
		return nil
	}
}

// reach connects for what is carried as it is.
func (t *connection) reach(ctx context.Context) *refusal {
	conn, failed := t.dial(ctx, t.pass)
	if failed != nil {
		return failed
	}
	t.up = &upstream{conn: conn, br: bufio.NewReaderSize(conn, 16)}
	return nil
}

// handOver gives the connection to the first of requests in clear, or nil: they
// go to a proxy in another way than tunnels do.
func (t *connection) handOver() *upstream {
	up := t.up
	if up == nil || t.pass.policy.ProxyFor(t.pass.host) != nil {
		return nil
	}
	t.up = nil
	return &upstream{
		to: t.to, conn: up.conn, br: bufio.NewReaderSize(up.conn, readerSize),
		address: t.pass.event.Address, policy: t.pass.policy, addrs: t.pass.addrs, reached: t.pass.to,
	}
}

func (t *connection) leave() {
	if t.up != nil {
		t.drop(t.up.conn)
	}
}

// tls carries a TLS connection whose name agrees with the CONNECT.
func (t *connection) tls(ctx context.Context) *refusal {
	raw, h, err := readHello(t.br)
	if why := agrees(h, err, t.to); why != "" {
		d := policy.Decision{Host: t.to.host, Rule: policy.RuleSyntax, Reason: why}
		refused := denied(d, t.to.port)
		_ = t.journal.refused(policy.Request{Kind: policy.TLS, Host: t.to.host, Port: t.to.port}, refused)
		t.alert(alertUnrecognizedName)
		return nil
	}
	switch {
	case t.pass.inspect:
		return t.inspect(ctx, t.pass, raw, t.to)
	case t.failed != nil:
		t.alert(alertInternalError)
		return t.failed
	}
	t.splice(t.pass, raw, t.up)
	return nil
}

// agrees says what is wrong with a ClientHello in a tunnel to a name, or "".
// A client that connects to an address sends no name (RFC 6066, 3).
func agrees(h hello, err error, to authority) string {
	_, literal := literalAddress(to.host)
	switch {
	case err != nil:
		return helloReason(err)
	case h.ech:
		return reasonECH
	case h.name == "" && literal:
		return ""
	case h.name == "":
		return reasonNoName
	}
	name, err := policy.Normalise(h.name)
	if err != nil || name != to.host {
		return "the TLS server name does not agree with the CONNECT name"
	}
	return ""
}

// splice sends the ClientHello on, with what the client said behind it, and
// carries the rest unseen.
func (c *session) splice(p *passage, raw []byte, up *upstream) {
	early, err := c.br.Peek(c.br.Buffered())
	if err != nil {
		return
	}
	raw = append(raw, early...)
	_, _ = c.br.Discard(len(early))
	if err := up.conn.SetWriteDeadline(time.Now().Add(c.limits.idle)); err != nil {
		return
	}
	if p.spend(len(raw)) != nil {
		return
	}
	if _, err := up.conn.Write(raw); err != nil {
		return
	}
	c.tunnel(p, end{c.conn, c.br}, end{up.conn, up.br})
}
