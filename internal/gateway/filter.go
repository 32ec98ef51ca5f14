package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// filter is what a body passes on its way: bytes that are written come out of
// the writer that it was made with, perhaps changed, perhaps later, and the
// last of them when it is closed.
type filter func(io.Writer) io.WriteCloser

// chain is first and then second; either may be nil.
func chain(first, second filter) filter {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	return func(out io.Writer) io.WriteCloser {
		last := second(out)
		return &chained{WriteCloser: first(last), last: last}
	}
}

type chained struct {
	io.WriteCloser
	last io.WriteCloser
}

func (c *chained) Close() error {
	if err := c.WriteCloser.Close(); err != nil {
		abort(c.last, err)
		return err
	}
	return c.last.Close()
}

func (c *chained) abort(err error) {
	abort(c.WriteCloser, err)
	abort(c.last, err)
}

// abort ends a filter whose body broke off: nothing that it holds leaves.
func abort(w io.WriteCloser, err error) {
	if a, ok := w.(interface{ abort(error) }); ok {
		a.abort(err)
	}
}

// filtered moves a body through the carrier's filter. Where that may change
// its length it must go on as chunks, or up to the end of the connection.
func (c *carrier) filtered(f framing, chunked bool) error {
	chunked = chunked && (f.chunked || c.rechunk)
	c.into = c.through(bodySink{c, chunked})
	err := c.unfiltered(f, chunked)
	if err != nil {
		abort(c.into, err)
		return err
	}
	if f.chunked {
		return nil // closed before the trailers
	}
	if err := c.into.Close(); err != nil || !chunked {
		return err
	}
	return c.write([]byte("0\r\n\r\n"))
}

// bodySink writes what a filter lets out, as chunks or as it is.
type bodySink struct {
	c       *carrier
	chunked bool
}

func (s bodySink) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	out := p
	if s.chunked {
		out = fmt.Appendf(make([]byte, 0, len(p)+16), "%x\r\n", len(p))
		out = append(append(out, p...), '\r', '\n')
	}
	if err := s.c.write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// filteredConn is a connection to which bytes go through a filter, for what has
// no framing that the gateway knows.
type filteredConn struct {
	net.Conn
	into io.WriteCloser
}

func throughFilter(conn net.Conn, f filter) net.Conn {
	if f == nil {
		return conn
	}
	return &filteredConn{Conn: conn, into: f(conn)}
}

func (f *filteredConn) Write(p []byte) (int, error) { return f.into.Write(p) }

// CloseWrite ends one direction, after what was held back.
func (f *filteredConn) CloseWrite() error {
	if err := f.into.Close(); err != nil {
		return err
	}
	return closeWrite(f.Conn)
}

func (f *filteredConn) Close() error {
	abort(f.into, net.ErrClosed)
	return f.Conn.Close()
}

// patience is how long bytes are held back that only might begin a secret.
const patience = 50 * time.Millisecond

// settling is a filter that lets go of a few bytes when nothing follows them:
// a line of a log, a message of a WebSocket, that a person waits for.
type settling struct {
	mu    sync.Mutex // guards the rest
	to    withholder
	timer *time.Timer
	over  bool
}

// withholder is a writer that may keep bytes back, until Flush.
type withholder interface {
	io.WriteCloser
	Flush() error
}

func settle(to withholder) io.WriteCloser { return &settling{to: to} }

func (s *settling) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.to.Write(p)
	switch {
	case err != nil:
	case s.timer == nil:
		s.timer = time.AfterFunc(patience, s.flush)
	default:
		s.timer.Reset(patience)
	}
	return n, err
}

func (s *settling) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		_ = s.to.Flush() // an error is the next write's too
	}
}

func (s *settling) Close() error {
	s.end()
	return s.to.Close()
}

func (s *settling) abort(error) { s.end() }

// end returns when nothing is written behind the caller's back any more.
func (s *settling) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// filterAll is what comes of a whole body.
func filterAll(f filter, body []byte) ([]byte, error) {
	var out bytes.Buffer
	w := f(&out)
	_, err := w.Write(body)
	if err != nil {
		abort(w, err)
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}
