package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"claude-bottle/internal/policy"
)

// session is one client connection that speaks HTTP/1: one request after the
// other, each decided anew.
type session struct {
	*server
	conn net.Conn
	br   *bufio.Reader
	way  way
	up   *upstream // kept between requests to one place; nil for none
	// grown says that the exchange under way holds one of server.large.
	grown bool
}

// serveProxy serves a client of the proxy, which speaks HTTP or SOCKS5: the
// first byte says which, since that of a method is a letter.
func (s *server) serveProxy(ctx context.Context, conn net.Conn) {
	c := &session{server: s, conn: conn, br: bufio.NewReaderSize(conn, readerSize), way: way{proxy: true}}
	if err := conn.SetReadDeadline(time.Now().Add(s.limits.head)); err != nil {
		return
	}
	first, err := c.br.Peek(1)
	switch {
	case err != nil:
	case first[0] == socksVersion:
		c.socks(ctx)
	default:
		c.serve(ctx)
	}
}

func (s *server) servePlainHTTP(ctx context.Context, conn net.Conn) {
	c := &session{server: s, conn: conn, br: bufio.NewReaderSize(conn, readerSize), way: way{to: authority{port: 80}}}
	c.serve(ctx)
}

func (c *session) serve(ctx context.Context) {
	defer c.dropUpstream()
	for first := true; ; first = false {
		if !c.awaitRequest(first) {
			return
		}
		if !c.one(ctx) {
			return
		}
	}
}

// awaitRequest waits for a request's first byte and then gives the head its
// time, so that a client cannot hold a connection by a byte now and then.
func (c *session) awaitRequest(first bool) bool {
	c.waits(c.conn)
	wait := c.limits.keepAlive
	if first {
		wait = c.limits.head
	}
	if c.br.Buffered() == 0 {
		if err := c.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return false
		}
		if _, err := c.br.Peek(1); err != nil {
			return false
		}
	}
	return c.conn.SetReadDeadline(time.Now().Add(c.limits.head)) == nil
}

// grow says whether the exchange under way may have a large head, or has one
// already. It is given back when the exchange ends.
func (c *session) grow() bool {
	if c.grown {
		return true
	}
	select {
	case c.large <- struct{}{}:
		c.grown = true
	default:
	}
	return c.grown
}

func (c *session) shrink() {
	if c.grown {
		<-c.large
		c.grown = false
	}
}

// one handles one request and says whether another may follow.
func (c *session) one(ctx context.Context) bool {
	defer c.shrink()
	block, err := readHead(c.br, c.grow)
	if err != nil {
		return c.badHead(err)
	}
	c.busy(c.conn)
	r, err := parseRequest(block)
	if err != nil {
		return c.refuse(policy.Request{Kind: c.way.kind()}, request{}, malformed(err.Error()), true)
	}
	if c.way.proxy && r.method == "CONNECT" {
		c.connect(ctx, r)
		return false
	}
	return c.exchange(ctx, r)
}

// badHead answers a head that could not be read, if there is somebody to
// answer.
func (c *session) badHead(err error) bool {
	why := malformed(err.Error())
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		why = malformed("the head took too long")
		why.status = 408
	case errors.Is(err, errHeadSize):
		why.status = 431
	case errors.Is(err, errLineEnd), errors.Is(err, errEmptyLine):
	default:
		return false // gone
	}
	return c.refuse(policy.Request{Kind: c.way.kind()}, request{}, why, true)
}

// refuse records a refusal and gives it.
func (c *session) refuse(p policy.Request, r request, why *refusal, closing bool) bool {
	if p.Host == "" {
		p.Host, p.Port = c.way.to.host, c.way.to.port
	}
	return c.answer(r, c.journal.refused(p, why), closing)
}

// answer gives a refusal that is recorded already. It says whether another
// request may follow.
func (c *session) answer(r request, why *refusal, closing bool) bool {
	accept, _ := r.fields.get("accept")
	sent, _ := r.fields.get("content-type")
	closing = closing || r.minor == 0 || r.fields.has("connection", "close")
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.limits.head)); err != nil {
		return false
	}
	if _, err := c.conn.Write(why.response(answerKind(accept, sent), r.method == "HEAD", closing)); err != nil {
		return false
	}
	if closing {
		c.linger()
	}
	return !closing
}

// linger ends our side and reads on for a moment: closing with bytes unread
// would reset the connection and take the answer away from the client
// (RFC 9112, 9.6).
func (c *session) linger() {
	if err := closeWrite(c.conn); err != nil {
		return
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(c.limits.linger)); err != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.br, 1<<20)
}

// closeWrite ends one direction of a connection, or all of it where it has
// no halves.
func closeWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return conn.Close()
}
