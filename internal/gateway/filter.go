package gateway

import (
	"fmt"
	"io"
	"net"
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
