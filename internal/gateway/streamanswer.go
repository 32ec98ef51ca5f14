package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"
)

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

// trace notes which connection the request got, and passes interim answers on.
func (s *stream) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			if over, ok := got.Conn.(*tls.Conn); ok {
				s.leaves(over)
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

// leaves notes that the request is about to be sent over conn. net/http sends
// it again where it may when an origin turns it away, without end: each time is
// paid for, and there are not many (TestBadOrigins/HTTP2/goes_away_politely).
func (s *stream) leaves(conn *tls.Conn) {
	to, _ := conn.NetConn().(*owned)
	s.mu.Lock()
	s.connection = to
	s.mu.Unlock()
	if to != nil && to.reached.IsValid() {
		s.pass.leads(to.reached)
	}
	times := s.sendings.Add(1)
	if times == 1 || times <= maxSendings && s.pass.spend(s.size) == nil {
		return
	}
	s.end()
	if conn.ConnectionState().NegotiatedProtocol != protoHTTP2 { // where nobody looks at the end of a request first
		conn.Close()
	}
}

// errTurnedAway ends a request that an origin turns away again and again.
var errTurnedAway = errors.New("upstream turned the request away again and again")

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
	case s.sendings.Load() > maxSendings:
		return s.broken(errTurnedAway.Error())
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
	buffer, done := copyBuffer(s.crowded())
	defer done()
	var out flusher
	out.to = http.NewResponseController(s.w)
	defer out.cancel()
	to, sink := s.screened()
	within := messagesOf(s.w.Header())
	defer abort(to, net.ErrClosed) // nothing is written when this has returned
	for {
		n, err := from.Read(buffer)
		out.cancel()
		s.expiry.moved()
		if n > 0 {
			if s.pass.deliver(n) != nil {
				return s.broken("")
			}
			length -= int64(n)
			if s.piece(to, sink, &out, buffer[:n], length == 0) != nil || within.ended(buffer[:n]) && letGo(to) != nil {
				return gone(s.way.to)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if sink != nil {
				sink.last.Store(true)
			}
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

// piece writes a piece of the body. What passes a sink is sent by that.
func (s *stream) piece(to io.Writer, sink *streamSink, out *flusher, p []byte, last bool) error {
	if sink == nil {
		if _, err := to.Write(p); err != nil {
			return err
		}
		return out.flush(last)
	}
	sink.last.Store(last)
	_, err := to.Write(p)
	sink.last.Store(false)
	return err
}

// letGo lets go of what is held back on the way to w.
func letGo(w io.Writer) error {
	if holder, ok := w.(interface{ letGo() error }); ok {
		return holder.letGo()
	}
	return nil
}

// give answers with a refusal that is recorded already. A client that takes no
// answer is not waited for: what it asked for is let go of at once, and its
// stream soon (TestHoarders).
func (m *multiplexed) give(w http.ResponseWriter, r *http.Request, why *refusal) {
	kind, body := why.content(answerKind(strings.Join(r.Header["Accept"], ","), r.Header.Get("Content-Type")))
	clear(r.Header)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(m.limits.linger)) // it ends with its connection, else
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
