package gateway

import (
	"bytes"
	"fmt"
	"io"
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

// How long bytes of an answer are held back that might begin a secret, whether
// they do or not: those of lines that have ended until nothing has followed for
// patience, all of them for longPatience, within which a network delivers what a
// server has sent at once.
const (
	patience     = 10 * time.Millisecond
	longPatience = time.Second
)

// settling is a filter that lets go of what it holds when nothing follows: an
// event, a line of a log, that a person waits for.
type settling struct {
	mu    sync.Mutex // guards the rest
	to    withholder
	timer *time.Timer
	lines bool // those that have ended were let go
	over  bool
}

// withholder is a writer that keeps bytes back, until FlushLine or Flush.
type withholder interface {
	io.WriteCloser
	FlushLine() error
	Flush() error
}

func settle(to withholder) io.WriteCloser { return &settling{to: to} }

func (s *settling) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.to.Write(p)
	s.lines = false
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
	switch { // an error is the next write's too
	case s.over:
	case s.lines:
		_ = s.to.Flush()
	default:
		s.lines = true
		_ = s.to.FlushLine()
		s.timer.Reset(longPatience - patience)
	}
}

// letGo lets go of all that it holds.
func (s *settling) letGo() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Flush()
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
