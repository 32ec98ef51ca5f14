package gateway

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"claude-bottle/internal/policy"
)

// stream is one request of an HTTP/2 client.
type stream struct {
	*multiplexed
	w      http.ResponseWriter
	r      *http.Request
	use    mediated    // what the broker made of it
	header http.Header // as it goes on
	pass   *passage
	expiry *expiry
	guard  *guard // of the body; nil without one
	size   int    // of the head, about
	end    func() // ends it

	answered bool // the response's head was written
	expired  atomic.Bool
	reading  atomic.Bool   // the body was begun to be read
	sent     chan struct{} // closed when the body has gone up, or goes no further; nil without one
	dials    atomic.Int32  // connections that were made for it
	sendings atomic.Int32  // how often it was sent

	mu         sync.Mutex // guards the rest, which net/http's callbacks change
	connection *owned     // that carries it upstream
	settled    bool       // interim answers come too late
	interim    int        // answers so far
}

// ServeHTTP decides one request and carries it.
func (m *multiplexed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !m.begin() {
		panic(http.ErrAbortHandler)
	}
	defer m.done()
	to, path, refused := m.aim(r)
	p := m.request(r.Method, recordPath(path))
	if to.host != "" {
		p.Host, p.Port = to.host, to.port
	}
	if refused != nil {
		m.give(w, r, m.journal.refused(p, refused))
		return
	}
	release, refused := m.room(r)
	if refused != nil {
		m.give(w, r, m.journal.refused(p, refused))
		return
	}
	defer release()
	fs, seen, refused := m.screenHead(p, path, fieldsOf(forwarded(r.Header)))
	if refused != nil {
		m.give(w, r, m.journal.refused(p, refused))
		return
	}
	use, header, refused := m.mediateStream(p, r, fs.header(), to, path)
	if refused != nil {
		m.give(w, r, m.journal.refused(p, refused))
		return
	}
	pass, refused := m.admitStream(r.Context(), p)
	if refused != nil {
		m.give(w, r, refused)
		return
	}
	pass.event.Secrets = strings.Join(use.used, ",")
	s := &stream{multiplexed: m, w: w, r: r, use: use, header: header, pass: pass}
	failed := s.scan(path, seen)
	if failed == nil {
		failed = s.carry()
	}
	if why := pass.cutBy(); why != nil {
		failed = why
	}
	pass.close(failed)
	switch {
	case failed == nil:
	case s.answered: // too late to say anything else
		panic(http.ErrAbortHandler) // which resets the stream
	default:
		m.give(w, r, failed)
	}
}

// request is what the policy is asked, as far as the connection says.
func (m *multiplexed) request(method, path string) policy.Request {
	return policy.Request{Kind: m.way.kind(), Host: m.way.to.host, Port: m.way.to.port, Method: method, Path: path}
}

// room takes the places that r needs among all requests of HTTP/2 clients, and
// among those with a large head.
func (m *multiplexed) room(r *http.Request) (release func(), refused *refusal) {
	places := []chan struct{}{m.inspector.streams}
	if headSize(r.Header) > smallHead {
		places = append(places, m.large)
	}
	taken := func(n int) {
		for _, place := range places[:n] {
			<-place
		}
	}
	for i, place := range places {
		select {
		case place <- struct{}{}:
		default:
			taken(i)
			why := tooMuch("too many requests are under way")
			if place == m.large {
				why = malformed(errHeadSize.Error())
				why.status = http.StatusRequestHeaderFieldsTooLarge
			}
			return nil, why
		}
	}
	return func() { taken(len(places)) }, nil
}

func tooMuch(reason string) *refusal {
	why := malformed(reason)
	why.status = http.StatusServiceUnavailable
	return why
}

// headSize is what a header is in HTTP/1.1, about.
func headSize(h http.Header) int {
	size := 0
	for name, values := range h {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// admitStream decides p. While there is a connection upstream, no name is
// looked up for it.
func (m *multiplexed) admitStream(ctx context.Context, p policy.Request) (*passage, *refusal) {
	rules := m.policy()
	up := m.lead(rules)
	if up == nil {
		return m.admit(ctx, p)
	}
	d := rules.Decide(p)
	if !d.Allow {
		if m.mayAsk(rules, p, d) {
			return m.admit(ctx, p)
		}
		return nil, m.journal.refused(p, denied(d, p.Port))
	}
	pass, refused := m.open(rules, p, d, nil, up.address)
	if refused == takenOnce {
		return m.admit(ctx, p)
	}
	return pass, refused
}

// carry sends the request on, and the response back as it comes.
func (s *stream) carry() *refusal {
	ctx, cancel := context.WithCancel(s.r.Context())
	defer cancel()
	s.expiry = expire(s.limits.idle, func() {
		s.expired.Store(true)
		answering := s.isSettled() // now: the end of the request settles it too
		cancel()
		if answering { // a client that grants no window is written to no more
			_ = http.NewResponseController(s.w).SetWriteDeadline(time.Unix(1, 0))
		}
	})
	defer s.expiry.stop()
	s.end = cancel
	s.pass.bind(&ending{end: cancel}, netip.Addr{})
	out := s.outgoing(ctx)
	s.size = headSize(out.Header) + len(out.Method) + len(s.use.path)
	if s.pass.spend(s.size) != nil {
		return s.broken("")
	}
	answer, err := s.roundTrip(out)
	s.settle()
	if err != nil {
		return s.noAnswer(err)
	}
	defer answer.Body.Close()
	if s.sent != nil {
		awaitSent(s.sent)
	}
	if why := s.pass.cutBy(); why != nil {
		return why
	}
	if s.expired.Load() {
		return s.noAnswer(os.ErrDeadlineExceeded)
	}
	switch {
	case answer.StatusCode == http.StatusSwitchingProtocols:
		return s.broken("upstream switched protocols unasked")
	case answer.StatusCode < 200 || answer.StatusCode > 599:
		return s.broken("upstream's answer is malformed: its status is none")
	}
	shrink, ok := s.hold(answer.Header)
	if !ok {
		return s.broken("upstream's answer is malformed: " + errHeadSize.Error())
	}
	defer shrink()
	if refused := s.screen(answer); refused != nil {
		return refused
	}
	s.head(answer)
	if refused := s.body(answer.Body, answer.ContentLength); refused != nil {
		return refused
	}
	if s.use.echo {
		s.broker.EchoHeader(answer.Trailer)
	}
	for name, values := range answer.Trailer {
		s.w.Header()[http.TrailerPrefix+name] = values
	}
	if s.size > smallHead || headSize(answer.Header) > smallHead || s.crowded() {
		// net/http has the last bytes, and would wait for who takes them when the
		// places of this request are somebody else's (TestHoarders).
		_ = http.NewResponseController(s.w).Flush() // its end says what is wrong
	}
	return nil
}

// settle ends the time of interim answers, and notes where the request went.
func (s *stream) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = true
	if s.connection != nil {
		s.pass.event.Address = s.connection.address
	}
}

func (s *stream) isSettled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled
}

// ending is what a passage closes to end one request, and not the connection
// that others share.
type ending struct {
	net.Conn
	end func()
}

func (e *ending) Close() error {
	e.end()
	return nil
}

// roundTrip sends r. The first request of a client connects upstream while the
// others wait, since most origins take all of them on one connection.
func (s *stream) roundTrip(r *http.Request) (*http.Response, error) {
	if s.opened.Load() {
		return s.transport.RoundTrip(r)
	}
	select {
	case s.opening <- struct{}{}:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	connected := sync.OnceFunc(func() {
		s.opened.Store(true)
		<-s.opening
	})
	defer connected()
	if s.opened.Load() {
		connected()
		return s.transport.RoundTrip(r)
	}
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected() },
	})
	return s.transport.RoundTrip(r.WithContext(ctx))
}
