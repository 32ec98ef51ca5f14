package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

// transfer is one admitted request under way.
type transfer struct {
	*session
	request  request
	use      mediated // what the broker made of it
	to       authority
	body     framing
	pass     *passage
	guard    *guard // of the body; nil without one
	up       *upstream
	answered bool // a byte of the final response went to the client
}

// run sends the request, relays interim answers, the response and bodies. The
// body goes up while the response comes down, as a server may answer, or ask
// to continue, before it has all of it.
func (t *transfer) run(ctx context.Context) (again bool, failed *refusal) {
	answer, up, failed := t.begin(ctx)
	if failed != nil {
		return false, failed
	}
	if why := t.pass.cutBy(); why != nil { // what upstream says to a request that was torn is no answer
		t.abort(up)
		return false, why
	}
	if answer.status == http.StatusSwitchingProtocols {
		return false, t.upgraded(answer, up)
	}
	answer, through, resized, failed := t.screen(answer)
	if failed != nil {
		t.abort(up)
		return false, failed
	}
	down, err := answer.body(t.request.method)
	if err != nil {
		t.abort(up)
		return false, t.broken("upstream's answer is ambiguous: "+err.Error(), nil)
	}
	answer.resized = resized && !down.empty()
	keep := t.request.minor == 1 && !t.request.fields.has("connection", "close") && (!down.untilClose || answer.resized)
	head := t.incoming(answer, down, keep)
	if !answer.resized {
		if head, err = t.early(head, &down, through); err != nil {
			t.abort(up)
			return false, t.broken("the answer cannot be looked into", err)
		}
	}
	awaitSent(up.done)
	if why := t.pass.cutBy(); why != nil {
		t.abort(up)
		return false, why
	}
	t.answered = true
	if err := t.write(head); err != nil {
		t.abort(up)
		return false, t.gone()
	}
	c := &carrier{
		dst: t.conn, src: t.up.br, conn: t.up.conn, idle: t.limits.idle, count: t.pass.deliver,
		rechunk: answer.resized, trailers: t.screenTrailers,
	}
	if !down.empty() {
		c.through = through
	}
	err = c.body(down, t.request.minor == 1)
	if err != nil {
		t.abort(up)
		if source := (sourceError{}); errors.As(err, &source) {
			return false, t.broken(brokeOff(err), err)
		}
		return false, t.gone()
	}
	return t.finish(answer, down, up, keep), nil
}

// early appends to a head what is there already of a body whose length is
// known, and takes it from that: a small answer is one write, and inside TLS
// one record. What passes a filter goes with it whole or not at all.
func (t *transfer) early(head []byte, rest *framing, through filter) ([]byte, error) {
	n := min(t.up.br.Buffered(), bufferSize-len(head))
	if rest.chunked || rest.untilClose || n <= 0 || through != nil && int64(n) < rest.length {
		return head, nil
	}
	n = int(min(int64(n), rest.length))
	body, err := t.up.br.Peek(n)
	if err != nil { // it is buffered: cannot be
		return head, nil //nolint:nilerr // and is read later
	}
	if through != nil { // all of it is there
		if body, err = filterAll(through, body); err != nil {
			return nil, err
		}
	}
	head = append(head, body...)
	_, _ = t.up.br.Discard(n)
	rest.length -= int64(n)
	return head, nil
}

// begin sends the request's head, starts its body and reads up to the final
// response's head. A kept connection that upstream closed meanwhile is
// replaced once, for a request that may be repeated (RFC 9110, 9.2.2).
func (t *transfer) begin(ctx context.Context) (response, *upload, *refusal) {
	for {
		kept := t.up.used
		t.up.used = true
		up := t.upload()
		answer, stale, failed := t.answer(up)
		if failed == nil {
			return answer, up, nil
		}
		t.abort(up)
		if !kept || !stale || !t.body.empty() || !safe(t.request.method) {
			return response{}, nil, failed
		}
		t.dropUpstream()
		if failed := t.redial(ctx); failed != nil {
			return response{}, nil, failed
		}
	}
}

// safe is RFC 9110, 9.2.1.
func safe(method string) bool { return method == "GET" || method == "HEAD" || method == "OPTIONS" }

// redial finds a fresh connection for a passage that used a kept one. The
// addresses are judged anew.
func (t *transfer) redial(ctx context.Context) *refusal {
	addrs, refused := t.addresses(ctx, t.pass.policy, t.to.host, t.to.port)
	if refused != nil {
		return refused
	}
	t.pass.aim(addrs)
	if now := t.policy(); now != t.pass.policy { // it changed while they were looked up
		t.reconsider(t.pass, now)
	}
	up, failed := t.dialOrigin(ctx, t.pass, t.to)
	if failed != nil {
		return failed
	}
	up.used = false
	t.session.up, t.up = up, up
	return nil
}

// upload is a request's body on its way up, beside the response.
type upload struct {
	carrier *carrier
	done    chan struct{}
	err     error // set before done is closed
}

func (u *upload) finished() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// upload writes the request's head and starts its body. A body that breaks
// off ends the upstream connection, so that upstream never takes a part for
// the whole.
func (t *transfer) upload() *upload {
	c := &carrier{
		dst: t.up.conn, src: t.br, conn: t.conn, idle: t.limits.idle, count: t.pass.spend,
		guard: t.guard, through: t.use.through,
	}
	if t.use.read {
		c.src = held(t.use.body)
	}
	u := &upload{carrier: c, done: make(chan struct{})}
	head, all := t.outgoing(), t.body.empty()
	if !all {
		head, all, u.err = t.withBody(head)
	}
	if u.err == nil {
		u.err = c.write(head)
	}
	if u.err != nil || all {
		t.explain(u)
		close(u.done)
		if u.err != nil {
			c.dst.Close()
		}
		return u
	}
	go func() { // ends with the body, or with abort
		u.err = c.body(t.body, true)
		t.explain(u)
		close(u.done) // first, so that who finds the connection closed knows why
		if u.err != nil {
			c.dst.Close()
		}
	}()
	return u
}

// explain has the guard say why a body went no further.
func (t *transfer) explain(u *upload) {
	if t.guard == nil {
		return
	}
	if why := t.guard.explain(u.err); why != nil {
		u.err = why
		t.pass.cut(why)
	}
}

// withBody appends to a head a body that is there as a whole: it was looked at
// before anything leaves, and a small request is one write, and inside TLS one
// record.
func (t *transfer) withBody(head []byte) (all []byte, whole bool, err error) {
	n := int(min(t.body.length, bufferSize))
	if t.use.read || t.use.through != nil || t.body.chunked || n > t.br.Buffered() || len(head)+n > bufferSize {
		return head, false, nil
	}
	body, err := t.br.Peek(n)
	if err != nil { // it is buffered: cannot be
		return head, false, nil
	}
	if t.guard == nil {
		head = append(head, body...)
	} else {
		out := bytes.NewBuffer(head)
		t.guard.out = out
		defer t.guard.stop()
		if _, err := t.guard.Write(body); err != nil {
			return nil, false, err
		}
		if err := t.guard.Close(); err != nil {
			return nil, false, err
		}
		head = out.Bytes()
	}
	_, err = t.br.Discard(n)
	return head, true, err
}

// abort ends an upload and waits for it.
func (t *transfer) abort(u *upload) {
	if u.finished() {
		return
	}
	u.carrier.stop()
	<-u.done
}

// answer relays interim answers and returns the final one. stale says that
// upstream ended the connection before it said anything.
func (t *transfer) answer(u *upload) (answer response, stale bool, failed *refusal) {
	for range maxInterim {
		if err := t.up.conn.SetReadDeadline(time.Now().Add(t.limits.idle)); err != nil {
			return response{}, true, t.noAnswer(u, err)
		}
		if _, err := t.up.br.Peek(1); err != nil {
			return response{}, true, t.noAnswer(u, err)
		}
		block, err := readHead(t.up.br, t.grow)
		if err != nil {
			return response{}, false, t.broken("upstream's answer is malformed: "+reasonOf(err), err)
		}
		answer, err = parseResponse(block)
		if err != nil {
			return response{}, false, t.broken("upstream's answer is malformed: "+reasonOf(err), err)
		}
		switch {
		case answer.status == http.StatusSwitchingProtocols && !t.request.websocket():
			return response{}, false, t.broken("upstream switched protocols unasked", nil)
		case answer.status == http.StatusSwitchingProtocols, answer.status >= 200:
			return answer, false, nil
		case t.request.minor == 0:
			continue // knows no interim answers
		}
		answer, _, _, failed := t.screen(answer)
		if failed != nil {
			return response{}, false, failed
		}
		if err := t.write(t.incoming(answer, framing{}, true)); err != nil {
			return response{}, false, t.gone()
		}
	}
	return response{}, false, t.broken(errInterim.Error(), nil)
}

// errInterim ends a request whose origin answers and answers and never says the
// last word.
var errInterim = errors.New("upstream gives no final answer")

const noAnswerInTime = "upstream gave no answer in time"

// brokeOff is why the rest of an answer did not come.
func brokeOff(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "upstream fell silent in the middle of its answer"
	}
	return "upstream broke off its answer"
}

// noAnswer is why nothing came: the client's own body may be at fault.
func (t *transfer) noAnswer(u *upload, err error) *refusal {
	if u.finished() {
		if refused := (*refusal)(nil); errors.As(u.err, &refused) {
			return refused
		}
		if source := (sourceError{}); errors.As(u.err, &source) {
			if errors.Is(source, errChunk) || errors.Is(source, errTrailer) {
				return malformed(reasonOf(source)).at(t.to.host, t.to.port)
			}
			return t.gone()
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return t.broken(noAnswerInTime, err)
	}
	return t.broken("upstream closed the connection without an answer", err)
}

// reasonOf is an error of our own reading in words, and nothing of anybody
// else's: those name addresses.
func reasonOf(err error) string {
	for _, known := range []error{
		errHeadSize, errLineEnd, errEmptyLine, errField, errFields, errStartLine, errVersion, errChunk, errTrailer,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "it broke off"
}

// write sends bytes of a head to the client.
func (t *transfer) write(b []byte) error {
	if err := t.conn.SetWriteDeadline(time.Now().Add(t.limits.idle)); err != nil {
		return err
	}
	if err := t.pass.deliver(len(b)); err != nil {
		return err
	}
	_, err := t.conn.Write(b)
	return err
}

// incoming is a response's head as the client gets it.
func (t *transfer) incoming(r response, down framing, keep bool) []byte {
	b := make([]byte, 0, 1024)
	b = fmt.Appendf(b, "HTTP/1.1 %d %s\r\n", r.status, r.reason)
	b = r.fields.forward(func(field) bool { return false }).appendTo(b, "")
	length, stated := r.fields.get("content-length")
	switch {
	case r.status/100 == 1, r.status == http.StatusNoContent: // RFC 9110, 8.6
	case (down.chunked || r.resized) && t.request.minor == 1:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.resized:
	case stated == 1: // of HEAD and 304 too, where it is the length there would be
		b = fmt.Appendf(b, "Content-Length: %s\r\n", length)
	}
	switch {
	case r.status == http.StatusSwitchingProtocols:
		b = append(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	case !keep:
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

// finish ends an exchange whose response is through, and says whether the
// client may send another request.
func (t *transfer) finish(r response, down framing, u *upload, keep bool) bool {
	timer := time.NewTimer(t.limits.linger)
	defer timer.Stop()
	select {
	case <-u.done:
	case <-timer.C: // answered without having read the request: that ends it
		t.abort(u)
	}
	if u.err != nil {
		t.dropUpstream()
		t.linger()
		return false
	}
	if down.untilClose || r.minor == 0 || r.fields.has("connection", "close") || t.up.br.Buffered() > 0 {
		t.dropUpstream()
	}
	if !keep {
		t.linger()
	}
	return keep
}

// upgraded hands both connections to a tunnel, for a WebSocket.
func (t *transfer) upgraded(r response, u *upload) *refusal {
	<-u.done // no body: it is over
	if _, n := r.fields.get("sec-websocket-extensions"); n > 0 {
		return t.broken("upstream has extensions to WebSocket that nobody asked for", nil)
	}
	r, through, resized, failed := t.screen(r)
	if failed != nil {
		return failed
	}
	if resized { // frames say their lengths, and cannot be made longer on the way
		return t.broken("a secret of this host is too short to be looked for in a WebSocket", nil)
	}
	t.answered = true
	if err := t.write(t.incoming(r, framing{}, true)); err != nil {
		return t.gone()
	}
	return t.messages(through)
}
