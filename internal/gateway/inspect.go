package gateway

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/ca"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/policy"
)

// The protocols inside TLS that the gateway speaks (RFC 7301).
const (
	protoHTTP1 = "http/1.1"
	protoHTTP2 = "h2"
)

// inspector is what a gateway needs to see into TLS: the run's authority
// towards the bottle, and towards the world the roots that it trusts.
type inspector struct {
	issuer *ca.Issuer
	// both and one are towards clients: with HTTP/2, and without, once enough
	// clients speak it.
	both, one *tls.Config
	upstream  func() (*tls.Config, error)
	strict    func() (*tls.Config, error) // likewise, for the hosts of secrets

	multiplexed chan struct{} // one per HTTP/2 client
	streams     chan struct{} // one per request of them
	shares      *shares
	windows     *windows
	stuck       *stuck
	frames      *windows // of origins, while bodies go up in them
}

// trust is which roots vouch for an upstream.
type trust struct {
	// system are the machine's own roots, PEM; empty means those that this
	// process finds by itself.
	system string
	// extra are the manifest's, PEM.
	extra string
	// project says that extra came from a project, and vouches for no host of
	// a secret (TestProjectRootsVouchForNoSecret).
	project bool
}

func trustOf(e policy.Egress, system string) trust {
	return trust{system: system, extra: e.Roots, project: e.ProjectRoots}
}

// strict is who vouches for the hosts of secrets.
func (t trust) strict() trust {
	if t.project {
		t.extra = ""
	}
	return t
}

// newInspector reads the run's authority. A gateway without one inspects
// nothing, and refuses what it would have to inspect.
func newInspector(pair ca.Pair, roots trust, most int) (*inspector, error) {
	if pair == (ca.Pair{}) {
		return nil, nil //nolint:nilnil // a gateway without an authority is a gateway
	}
	issuer, err := ca.NewIssuer(pair)
	if err != nil {
		return nil, err
	}
	var ticket [32]byte
	if _, err := rand.Read(ticket[:]); err != nil {
		return nil, fmt.Errorf("make a key for session tickets: %w", err)
	}
	towards := func(protocols ...string) *tls.Config {
		config := &tls.Config{
			MinVersion:     tls.VersionTLS12,
			NextProtos:     protocols,
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return leafFor(issuer, hello) },
			// Between two processes of one machine, for seconds: nobody keeps
			// what is said here until there are quantum computers.
			CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		}
		config.SetSessionTicketKeys([][32]byte{ticket})
		return config
	}
	clients := min(maxMultiplexed, max(most/64, 1))
	return &inspector{
		issuer: issuer,
		both:   towards(protoHTTP2, protoHTTP1), one: towards(protoHTTP1),
		upstream:    sync.OnceValues(roots.config),
		strict:      sync.OnceValues(roots.strict().config),
		multiplexed: make(chan struct{}, clients),
		streams:     make(chan struct{}, maxStreams),
		shares:      newShares(clients),
		windows:     &windows{free: windowMemory},
		frames:      &windows{free: frameMemory},
		stuck:       &stuck{},
	}, nil
}

// makeAuthority makes an authority for a gateway by itself, and leaves nothing
// of it but the certificate.
func (s *server) makeAuthority(opts Options) error {
	switch {
	case opts.CACert != "":
	case opts.Policy.Inspects():
		return hint.With(errors.New("the policy needs to see inside TLS, and nothing says where to write the certificate that clients must trust"),
			"add --ca-cert FILE")
	default:
		return nil
	}
	pair, err := ca.New("gateway", time.Now())
	if err != nil {
		return err
	}
	s.inspector, err = newInspector(pair, trustOf(opts.Policy, ""), s.limits.connections)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(opts.CACert, []byte(pair.Certificate), 0o644); err != nil {
		return fmt.Errorf("write the authority's certificate: %w", err)
	}
	return nil
}

// leafFor finds the certificate by the name that was decided about, not by
// what the client says now.
func leafFor(issuer *ca.Issuer, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	conn, ok := hello.Conn.(*opened)
	if !ok {
		return nil, errors.New("the connection was not decided about")
	}
	return issuer.Leaf(conn.name)
}

// config is the configuration towards upstream, made when it is needed first:
// reading the roots takes milliseconds that no launch has to wait for.
func (t trust) config() (*tls.Config, error) {
	pool := x509.NewCertPool()
	switch {
	case t.system == "":
		var err error
		if pool, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("read the system's roots: %w", err)
		}
	case !pool.AppendCertsFromPEM([]byte(t.system)):
		return nil, errors.New("there is no certificate among the system's roots")
	}
	if t.extra != "" && !pool.AppendCertsFromPEM([]byte(t.extra)) {
		return nil, errors.New("there is no certificate among the extra roots")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: pool,
		ClientSessionCache: tls.NewLRUClientSessionCache(maxSessions),
	}, nil
}

// opened is a client's connection below TLS that ends here.
type opened struct {
	net.Conn
	name  string // what was decided about
	once  sync.Once
	ended chan struct{} // closed by Close
}

// NetConn is the connection that was tracked.
func (o *opened) NetConn() net.Conn { return o.Conn }

func (o *opened) Close() error {
	o.once.Do(func() { close(o.ended) })
	return o.Conn.Close()
}

// replayed is a connection whose first bytes were read already.
type replayed struct {
	net.Conn
	early []byte
}

// NetConn is the connection that was tracked.
func (r *replayed) NetConn() net.Conn { return r.Conn }

func (r *replayed) Read(b []byte) (int, error) {
	if len(r.early) > 0 {
		n := copy(b, r.early)
		r.early = r.early[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

// heard is a terminated connection that remembers why reading it ended: with
// TLS 1.3 a client says only after the handshake that it trusts nobody.
type heard struct {
	*tls.Conn
	err error // of the one goroutine that reads
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if err != nil && h.err == nil {
		h.err = err
	}
	return n, err
}

// inspect ends a client's TLS here, in the name that was decided about, and
// serves the HTTP inside: each request is decided by its method and path, has
// a line of its own, and goes on over a TLS connection of the gateway's. raw
// is the ClientHello.
func (c *session) inspect(ctx context.Context, pass *passage, raw []byte, to authority) *refusal {
	pass.bind(c.conn, netip.Addr{}) // what is inside ends with the tunnel
	in := c.inspector
	if in == nil {
		c.alert(alertInternalError)
		return uninspected(to)
	}
	early, err := c.br.Peek(c.br.Buffered())
	if err != nil {
		return nil
	}
	below := &opened{
		Conn: &recordwise{Conn: &replayed{Conn: c.conn, early: append(raw, early...)}},
		name: to.host, ended: make(chan struct{}),
	}
	config, release := in.offer()
	defer release()
	conn := tls.Server(below, config)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(c.limits.head)); err != nil {
		return nil
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return distrusted(to, err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil
	}
	if conn.ConnectionState().NegotiatedProtocol == protoHTTP2 {
		return c.multiplex(ctx, conn, below, to)
	}
	release()
	client := &heard{Conn: conn}
	inside := &session{
		server: c.server, conn: client, br: bufio.NewReaderSize(client, readerSize), way: way{to: to, secure: true},
	}
	inside.serve(ctx)
	return distrusted(to, client.err)
}

// offer is what a client may negotiate: HTTP/2 only while few do, since each
// holds buffers for clientStreams requests. release gives the place back, once.
func (in *inspector) offer() (config *tls.Config, release func()) {
	select {
	case in.multiplexed <- struct{}{}:
		return in.both, sync.OnceFunc(func() { <-in.multiplexed })
	default:
		return in.one, func() {}
	}
}

// distrusted is how a client ended TLS because of the certificate it was
// shown; nil for any other end.
func distrusted(to authority, err error) *refusal {
	alert, ok := remoteAlert(err)
	if !ok {
		return nil
	}
	return distrust(to, alert)
}

func distrust(to authority, alert string) *refusal {
	return &refusal{
		status: http.StatusBadGateway, outcome: audit.Failed, port: to.port,
		decision: policy.Decision{
			Host: to.host, Rule: ruleInspect,
			Reason: "the program ended the inspected connection (" + alert + "); it may trust roots of its own alone",
		},
	}
}

// remoteAlert is the alert by which the other side ended a TLS connection, in
// the words of crypto/tls, which has no other way to tell it apart.
func remoteAlert(err error) (string, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return "", false
	}
	return op.Err.Error(), true
}

// ruleInspect is the rule of what cannot be inspected.
const ruleInspect = "inspect"

// uninspected refuses what must be inspected where nothing can be.
func uninspected(to authority) *refusal {
	return &refusal{
		status: http.StatusForbidden, outcome: audit.Denied, port: to.port,
		decision: policy.Decision{
			Host: to.host, Rule: ruleInspect,
			Reason: "a rule needs to see inside TLS, and this gateway has no authority to do it with",
		},
	}
}
