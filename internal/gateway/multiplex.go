package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"claude-bottle/internal/policy"
)

// multiplexed is one HTTP/2 client inside inspected TLS. Its requests run side
// by side, each decided by itself, over connections upstream that no other
// client shares. The frames are net/http's, on both sides: its server bounds
// header lists, CONTINUATION frames and streams that are reset as soon as they
// are opened (CVE-2023-44487, CVE-2023-45288), and flow control keeps what is
// under way in constant memory (TestRapidReset, TestContinuationFlood,
// TestHeaderListBomb).
type multiplexed struct {
	*server
	client    net.Conn
	way       way
	transport *http.Transport
	// opening is held by the request that connects upstream first, so that
	// clientStreams at once do not make maxUpstreams connections.
	opening     chan struct{}
	opened      atomic.Bool
	latest      atomic.Pointer[owned] // connection upstream
	connections int                   // upstream, at once
	// upstreamWindow is that of each connection upstream; the first one's is
	// taken with the client.
	upstreamWindow int
	inUse          atomic.Bool

	mu       sync.Mutex // guards the rest
	requests int
	ended    bool
	idle     chan struct{} // closed when ended and without requests
	upstream []*owned
	judged   *policy.Policy // that upstream was judged by last
	said     string         // what the frames' server complained about first
}

// multiplex serves the HTTP/2 client on conn until it ends.
func (c *session) multiplex(ctx context.Context, conn *tls.Conn, below *opened, to authority) *refusal {
	m := &multiplexed{
		server: c.server, client: conn, way: way{to: to, secure: true},
		opening: make(chan struct{}, 1), idle: make(chan struct{}),
	}
	m.upstreamWindow = c.inspector.windows.grant()
	defer c.inspector.windows.give(m.upstreamWindow) // when all has ended
	streams := c.inspector.shares.grant()
	defer c.inspector.shares.give(streams)
	m.connections = max(maxUpstreams*streams/clientStreams, leastUpstreams)
	m.transport = m.upstreams()
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	frames := &http.Server{
		Handler:                      m,
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ErrorLog:                     log.New(m, "", 0),
		IdleTimeout:                  c.limits.keepAlive,
		MaxHeaderBytes:               maxHead,
		Protocols:                    &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          streams,
			MaxReadFrameSize:              frameSize,
			MaxReceiveBufferPerStream:     clientWindow,
			MaxReceiveBufferPerConnection: clientWindow,
			// A client that is gone, or stops in the middle of a head, answers
			// no ping.
			SendPingTimeout:  c.limits.head,
			PingTimeout:      c.limits.head,
			WriteByteTimeout: c.limits.idle,
			CountError:       m.broke,
		},
	}
	_ = frames.Serve(&single{conn: conn, ended: below.ended}) // says only that it ended
	m.end()
	return m.distrusted()
}

// upstreams is the way to the origin: HTTP/2 where it speaks that, else as many
// HTTP/1.1 connections as there are requests, up to a bound. What is idle ends
// with the client, and has no time of its own: net/http keeps the memory of a
// connection that has ended until that is over (TestEndedUpstreamsAreForgotten).
func (m *multiplexed) upstreams() *http.Transport {
	table := 0 // as large as usual
	if m.concerns(m.way.to) {
		table = noTable
	}
	return &http.Transport{
		DialTLSContext:         m.connect,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // what the client asked for goes through as it is
		MaxConnsPerHost:        m.connections,
		MaxIdleConnsPerHost:    m.connections,
		MaxResponseHeaderBytes: maxHead,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     m.upstreamWindow,
			MaxReceiveBufferPerConnection: m.upstreamWindow,
			WriteByteTimeout:              m.limits.idle,
			MaxEncoderHeaderTableSize:     table,
		},
	}
}

// noTable is a table of header fields in which none has room. Towards the hosts
// of secrets every field is written out: a request whose head repeats a secret
// is no shorter than one that does not, whoever sees how long it is
// (RFC 7541, 7.1; TestNoTableOfHeaders).
const noTable = 1

// asker is the key of the request, in its context, that has a connection made.
type asker struct{}

// connect makes one connection upstream, to an address that was judged: for
// the request that asks, or now.
func (m *multiplexed) connect(ctx context.Context, _, _ string) (net.Conn, error) {
	// A passage of its own: the request's may have ended before this does.
	own := &passage{server: m.server, policy: m.policy(), host: m.way.to.host, port: m.way.to.port}
	asked, _ := ctx.Value(asker{}).(*stream)
	if asked != nil && asked.dials.Add(1) > maxDials {
		return nil, asked.broken(errTurnedAway.Error())
	}
	if asked != nil && len(asked.pass.addrs) > 0 { // judged for this request
		own.policy, own.addrs = asked.pass.policy, asked.pass.addrs
	} else {
		var refused *refusal
		if own.addrs, refused = m.addresses(ctx, own.policy, own.host, own.port); refused != nil {
			return nil, refused
		}
	}
	protocols := []string{protoHTTP2, protoHTTP1}
	release, ok := m.window()
	if !ok || !m.inspector.stuck.trusts(m.way.to) {
		protocols = protocols[1:]
	}
	conn, failed := m.dialSecure(ctx, own, m.way.to, protocols...)
	if failed != nil {
		release()
		return nil, failed
	}
	if conn.ConnectionState().NegotiatedProtocol != protoHTTP2 {
		release()
		release = nil
	}
	below := conn.NetConn().(*owned) //nolint:forcetypeassert // dialSecure made it
	below.release = release
	if !m.keep(below) {
		below.Close()
		return nil, net.ErrClosed
	}
	if now := m.policy(); now != own.policy && !m.bears(now, below) { // it changed while this was made
		below.Close()
		return nil, net.ErrClosed
	}
	return conn, nil
}

// bears says whether rules still let a connection upstream lead where it leads.
// Behind a proxy that is not known, and for the proxy to judge.
func (m *multiplexed) bears(rules *policy.Policy, conn *owned) bool {
	if !conn.reached.IsValid() {
		return true
	}
	own, err := m.own.all()
	return err == nil && rules.DecideAddress(m.way.to.host, conn.reached, own).Allow
}

// lead is the newest connection upstream, or nil. When the policy has changed
// all are judged anew, and those that it lets lead nowhere any longer closed
// (TestKeptConnectionIsJudgedAnew).
func (m *multiplexed) lead(rules *policy.Policy) *owned {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.judged != rules {
		for _, conn := range m.upstream {
			if !m.bears(rules, conn) {
				conn.Close()
			}
		}
		m.judged = rules
	}
	if up := m.latest.Load(); up != nil && !up.closed.Load() {
		return up
	}
	return nil
}

// keep registers a connection upstream, to be closed when the client ends;
// false when that has been.
func (m *multiplexed) keep(conn *owned) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return false
	}
	m.upstream = slices.DeleteFunc(m.upstream, func(o *owned) bool { return o.closed.Load() })
	m.upstream = append(m.upstream, conn)
	m.latest.Store(conn)
	return true
}

// begin registers a request; false when the client is gone already.
func (m *multiplexed) begin() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return false
	}
	m.requests++
	m.busy(m.client)
	return true
}

func (m *multiplexed) done() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests--
	switch {
	case m.requests > 0:
	case m.ended:
		close(m.idle)
	default:
		m.waits(m.client)
	}
}

// end waits for every request, which the end of the connection has cancelled,
// but not for those that never end, and closes what is upstream.
func (m *multiplexed) end() {
	m.mu.Lock()
	m.ended = true
	if m.requests == 0 {
		close(m.idle)
	}
	m.mu.Unlock()
	if !m.stopped() {
		return
	}
	m.transport.CloseIdleConnections()
	for _, conn := range m.upstream { // nothing is added any more
		conn.Close()
	}
}

// broke records that the client's frames were refused before they were a
// request.
func (m *multiplexed) broke(kind string) {
	if strings.HasSuffix(kind, "_closed") || strings.HasSuffix(kind, "_lost_ping") {
		return // what crosses a reset on the way, and who is gone
	}
	why := malformed("HTTP/2 as it must not be: " + strings.ReplaceAll(kind, "_", " "))
	_ = m.journal.refused(m.request("", ""), why)
}

// Write takes what the frames' server logs, and keeps the first of it.
func (m *multiplexed) Write(line []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.said == "" {
		m.said = string(line[:min(len(line), 512)])
	}
	return len(line), nil
}

// distrusted is how the client ended TLS, when it did so because of the
// certificate; see heard.
func (m *multiplexed) distrusted() *refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, alert, ok := strings.Cut(m.said, "remote error: ")
	if !ok {
		return nil
	}
	return distrust(m.way.to, strings.TrimSpace(alert))
}

// single is a listener with one connection.
type single struct {
	conn  net.Conn
	taken bool
	ended <-chan struct{}
}

func (s *single) Accept() (net.Conn, error) {
	if !s.taken {
		s.taken = true
		return s.conn, nil
	}
	<-s.ended
	return nil, io.EOF
}

func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return s.conn.LocalAddr() }

// expiry ends a request in which nothing moved for the idle limit.
type expiry struct {
	mu    sync.Mutex // guards over and the use of timer
	over  bool
	timer *time.Timer
	after time.Duration
}

func expire(after time.Duration, end func()) *expiry {
	e := &expiry{after: after}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.timer = time.AfterFunc(after, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !e.over {
			end()
		}
	})
	return e
}

func (e *expiry) moved() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.over {
		e.timer.Reset(e.after)
	}
}

// stop returns when end does not run and never will.
func (e *expiry) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	e.timer.Stop()
}
