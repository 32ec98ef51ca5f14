package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strconv"
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

	answered bool // the response's head was written
	expired  atomic.Bool
	reading  atomic.Bool // the body was begun to be read

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

// aim says where r goes and with which path. What a translation to another
// version of HTTP could turn into something else is refused here
// (TestPseudoHeaders); net/http refused what RFC 9113, 8.2 and 8.3 call
// malformed, but for what is looked at again.
func (m *multiplexed) aim(r *http.Request) (authority, string, *refusal) {
	switch {
	case !isToken(r.Method) || len(r.Method) > 32 || r.Method == http.MethodConnect || r.Method == "PRI":
		return authority{}, "", malformed("the method has no place here")
	case r.Host == "":
		return authority{}, "", malformed("there is no :authority")
	}
	to, refused := parseAuthority(r.Host, m.way.to.port)
	if refused != nil {
		return authority{}, "", refused
	}
	hosts := r.Header["Host"]
	if len(hosts) > 1 {
		return authority{}, "", malformed("there is more than one Host")
	}
	if len(hosts) == 1 {
		named, refused := parseAuthority(hosts[0], m.way.to.port)
		if refused != nil || named != to {
			return authority{}, "", malformed("the Host does not agree with :authority").at(to.host, to.port)
		}
	}
	if to != m.way.to {
		return authority{}, "", m.way.misdirected().at(to.host, to.port)
	}
	path := r.RequestURI
	if !isTarget(path) || !strings.HasPrefix(path, "/") && (path != "*" || r.Method != http.MethodOptions) {
		return to, "", malformed("the request's target is no path")
	}
	if err := saneHeader(r); err != nil {
		return to, path, malformed(err.Error())
	}
	return to, path, nil
}

// saneHeader refuses fields that an HTTP/1.1 parser upstream could read
// differently, and lengths that do not agree with the body.
func saneHeader(r *http.Request) error {
	count := 0
	for name, values := range r.Header {
		count += len(values)
		if !isToken(name) || slices.ContainsFunc(values, func(v string) bool { return !isFieldValue(v) }) {
			return errField
		}
	}
	lengths := r.Header["Content-Length"]
	switch {
	case count > maxFields:
		return errFields
	case len(lengths) > 1:
		return errTwoLengths
	case len(lengths) == 1 && (!isDigits(lengths[0]) || lengths[0] != strconv.FormatInt(r.ContentLength, 10)):
		return errLength
	case r.Header.Get("Expect") != "": // 100-continue was taken out
		return errors.New("the expectation is unknown")
	}
	return nil
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
			why := malformed("too many requests are under way")
			why.status = http.StatusServiceUnavailable
			if place == m.large {
				why = malformed(errHeadSize.Error())
				why.status = http.StatusRequestHeaderFieldsTooLarge
			}
			return nil, why
		}
	}
	return func() { taken(len(places)) }, nil
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
	up := m.latest.Load()
	if up == nil || up.closed.Load() {
		return m.admit(ctx, p)
	}
	rules := m.policy()
	d := rules.Decide(p)
	if !d.Allow {
		return nil, m.journal.refused(p, denied(d, p.Port))
	}
	return m.open(rules, p, d, nil, up.address)
}

// give answers with a refusal that is recorded already.
func (m *multiplexed) give(w http.ResponseWriter, r *http.Request, why *refusal) {
	kind, body := why.content(strings.Join(r.Header["Accept"], ","))
	h := w.Header()
	clear(h)
	h.Set("Content-Type", kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Claude-Bottle", why.verb())
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if why.challenge {
		h.Set("WWW-Authenticate", basicChallenge)
	}
	h["Date"] = nil
	w.WriteHeader(why.status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, body) // the client may be gone
	}
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
	s.pass.bind(&ending{end: cancel}, netip.Addr{})
	out := s.outgoing(ctx)
	if s.pass.spend(headSize(out.Header)+len(out.Method)+len(s.use.path)) != nil {
		return s.broken("")
	}
	answer, err := s.roundTrip(out)
	s.settle()
	if err != nil {
		return s.noAnswer(err)
	}
	defer answer.Body.Close()
	if why := s.pass.cutBy(); why != nil {
		return why
	}
	if s.expired.Load() {
		return s.noAnswer(os.ErrDeadlineExceeded)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 599 {
		return s.broken("upstream switched protocols unasked")
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
	return nil
}

// hold takes the place that a large head of an answer needs, which is kept as
// long as its body.
func (s *stream) hold(head http.Header) (release func(), ok bool) {
	if headSize(head) <= smallHead {
		return func() {}, true
	}
	select {
	case s.large <- struct{}{}:
		return func() { <-s.large }, true
	default:
		return nil, false
	}
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

// outgoing is the request as upstream gets it: the same, without what was for
// this hop. The path stays as it was written.
func (s *stream) outgoing(ctx context.Context) *http.Request {
	header := s.header
	if slices.Contains(s.r.Header["Te"], "trailers") {
		header.Set("Te", "trailers")
	}
	if _, stated := header["User-Agent"]; !stated {
		header["User-Agent"] = []string{""} // or net/http sets its own
	}
	out := &http.Request{
		Method: s.r.Method,
		URL:    verbatim(s.way.to.text(443), s.use.path),
		Host:   s.way.to.text(443),
		Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: s.r.ContentLength, Trailer: s.r.Trailer,
	}
	if s.r.ContentLength != 0 {
		var body io.ReadCloser
		body, out.ContentLength = s.source()
		out.Body = &uploading{ReadCloser: body, stream: s}
	}
	if len(s.pass.addrs) > 0 { // judged for this request
		ctx = context.WithValue(ctx, checked{}, s.pass)
	}
	return out.WithContext(s.trace(ctx))
}

// verbatim is a URL that net/http writes on the wire with the very path that it
// was given: what was decided is what is asked for.
func verbatim(host, target string) *url.URL {
	path, query, asked := strings.Cut(target, "?")
	u := &url.URL{Scheme: "https", Host: host, RawQuery: query, ForceQuery: asked}
	if !strings.HasPrefix(path, "//") {
		u.Opaque = path
		return u
	}
	// Opaque would be taken for a host. What a URL cannot hold as it is goes in
	// absolute form, which means the same (RFC 9112, 3.2.2).
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = plain, path
		if u.EscapedPath() == path {
			return u
		}
	}
	u.Path, u.RawPath, u.Opaque = "", "", "//"+host+path
	return u
}

// forwarded is a header without what is for one hop (RFC 9110, 7.6.1).
func forwarded(h http.Header) http.Header {
	on := make(http.Header, len(h)+2)
	named := fields{}
	for _, value := range h["Connection"] {
		named = append(named, field{"connection", value})
	}
	for name, values := range h {
		f := field{name: name}
		if hopByHop(f) || f.is("transfer-encoding") || named.has("connection", name) {
			continue
		}
		on[name] = values
	}
	return on
}

// uploading is a request's body on its way up.
type uploading struct {
	io.ReadCloser
	stream *stream
}

func (u *uploading) Read(b []byte) (int, error) {
	n, err := u.ReadCloser.Read(b)
	u.stream.reading.Store(true)
	u.stream.expiry.moved()
	if refused := u.stream.pass.spend(n); refused != nil {
		return 0, refused
	}
	return n, err
}

// trace notes which connection the request got, and passes interim answers on.
func (s *stream) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if over, ok := got.Conn.(*tls.Conn); ok {
				s.connection, _ = over.NetConn().(*owned)
			}
		},
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.interim++; s.interim > maxInterim {
				return errInterim
			}
			// net/http says 100 when the body is read first, but not behind
			// another interim answer: none goes before it.
			early := s.r.ContentLength != 0 && !s.reading.Load()
			if early || s.settled || code == http.StatusContinue || code == http.StatusSwitchingProtocols {
				return nil
			}
			h := s.w.Header()
			for name, values := range forwarded(http.Header(header)) {
				h[name] = values
			}
			if s.use.echo {
				s.broker.EchoHeader(h)
			}
			s.w.WriteHeader(code)
			clear(h)
			return nil
		},
	})
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

// noAnswer is why there is no response. net/http has no errors to compare with:
// what it says is looked at, and nothing of it is said to anybody.
func (s *stream) noAnswer(err error) *refusal {
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		return refused
	}
	to := s.way.to
	switch {
	case s.r.Context().Err() != nil:
		return gone(to)
	case s.expired.Load():
		return failure(to.host, to.port, noAnswerInTime, os.ErrDeadlineExceeded)
	case strings.Contains(err.Error(), errInterim.Error()):
		return s.broken(errInterim.Error())
	case strings.Contains(err.Error(), "response header"): // "exceeded", "larger than"
		return s.broken("upstream's answer is malformed: " + errHeadSize.Error())
	case strings.HasPrefix(err.Error(), "connection error: "): // the head of many frames is one too
		return s.broken("upstream's answer is malformed: HTTP/2 as it must not be, or " + errHeadSize.Error())
	}
	return failure(to.host, to.port, "upstream broke off without an answer", err)
}

func (s *stream) broken(reason string) *refusal {
	return failure(s.way.to.host, s.way.to.port, reason, nil)
}

// head writes the response's head.
func (s *stream) head(answer *http.Response) {
	h := s.w.Header()
	clear(h)
	h["Date"], h["Content-Type"] = nil, nil // or net/http sets its own
	for name, values := range forwarded(answer.Header) {
		h[name] = values
	}
	_ = s.pass.receive(headSize(answer.Header))
	s.answered = true
	s.w.WriteHeader(answer.StatusCode)
}

// body copies the response's body, each piece as it comes; the last one of a
// body whose length is known goes out together with the stream's end, if that
// comes soon. length is below 0 where it is not known.
func (s *stream) body(from io.Reader, length int64) *refusal {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	var out flusher
	out.to = http.NewResponseController(s.w)
	defer out.cancel()
	to := s.screened()
	defer abort(to, net.ErrClosed) // nothing is written when this has returned
	for {
		n, err := from.Read(buffer[:])
		out.cancel()
		s.expiry.moved()
		if n > 0 {
			if s.pass.receive(n) != nil {
				return s.broken("")
			}
			_, werr := to.Write(buffer[:n])
			if length -= int64(n); werr == nil && !s.use.echo { // else each write is sent

				werr = out.flush(length == 0)
			}
			if werr != nil {
				return gone(s.way.to)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if to.Close() != nil {
				return gone(s.way.to)
			}
			return nil
		case s.expired.Load() && err != nil:
			return failure(s.way.to.host, s.way.to.port, brokeOff(os.ErrDeadlineExceeded), os.ErrDeadlineExceeded)
		case err != nil && s.r.Context().Err() != nil:
			return gone(s.way.to)
		case err != nil:
			return failure(s.way.to.host, s.way.to.port, brokeOff(err), err)
		}
	}
}
