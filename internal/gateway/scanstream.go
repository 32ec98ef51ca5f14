package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// scan acts on what is left of what was seen in the head of an HTTP/2 request,
// and makes the guard of its body.
func (s *stream) scan(target string, seen []sighting) *refusal {
	if refused := s.reach(s.pass, target); refused != nil {
		return refused
	}
	if refused := s.weighLate(s.pass, seen, true); refused != nil {
		return refused
	}
	if s.r.ContentLength == 0 {
		return nil
	}
	var refused *refusal
	s.guard, refused = s.server.guard(s.pass, bodyForm{
		kind:    strings.Join(s.header["Content-Type"], ","),
		codings: s.header["Content-Encoding"],
		packing: slices.Concat(s.header["Grpc-Encoding"], s.header["Connect-Content-Encoding"]),
	}, true)
	if refused == nil && s.use.echo {
		s.guard.fields = s.broker.Fields(s.way.to.host, s.way.to.port, strings.Join(s.header["Content-Type"], ","))
	}
	return refused
}

// guarded is the request's body on the other side of its guard.
func (s *stream) guarded(body io.ReadCloser) io.ReadCloser {
	g := &guarded{ReadCloser: body, crowded: s.crowded, guard: s.guard, trailer: s.r.Trailer, within: messagesOf(s.header)}
	s.guard.out = &g.out
	return g
}

// guarded is a body of an HTTP/2 request that passes a guard. One goroutine
// reads it; another may close it meanwhile (TestGivenUpWhileDecoding).
type guarded struct {
	io.ReadCloser
	crowded func() bool // see [multiplexed.crowded]
	// trailer is filled in when the body ends.
	trailer http.Header
	within  *messages  // of gRPC; nil without any
	ahead   chan piece // of a read under way; nil without one
	out     bytes.Buffer
	err     error

	mu     sync.Mutex // guards the rest
	guard  *guard
	closed bool
}

// piece is what a read gave.
type piece struct {
	bytes []byte
	err   error
	done  func() // with the bytes
}

func (b *guarded) Read(p []byte) (int, error) {
	for b.out.Len() == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.err = b.fill()
	}
	n, err := b.out.Read(p)
	if b.out.Len() == 0 && b.crowded() {
		b.out = bytes.Buffer{} // upstream may take long to take p
	}
	return n, err
}

// fill takes the next piece of the body. When none comes for a moment, what is
// held back goes on.
func (b *guarded) fill() error {
	if b.ahead == nil {
		b.ahead = make(chan piece, 1)
		go b.readAhead(b.ahead) // ends with its read, which Close ends
	}
	var quiet <-chan time.Time
	if b.holds() {
		timer := time.NewTimer(guardPatience)
		defer timer.Stop()
		quiet = timer.C
	}
	select {
	case <-quiet:
		return b.guardedly(b.guard.Pause)
	case next := <-b.ahead:
		b.ahead = nil
		defer next.done()
		return b.take(next)
	}
}

func (b *guarded) readAhead(to chan<- piece) {
	buffer, done := copyBuffer(b.crowded())
	n, err := b.ReadCloser.Read(buffer)
	to <- piece{buffer[:n], err, done}
}

func (b *guarded) holds() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.guard.Holds()
}

// take has the guard look at a piece.
func (b *guarded) take(next piece) error {
	err := b.guardedly(func() error {
		_, err := b.guard.Write(next.bytes)
		switch {
		case err != nil:
			return err
		case errors.Is(next.err, io.EOF):
			return b.guard.end(fieldsOf(b.trailer))
		case b.within.ended(next.bytes):
			return b.guard.Pause()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return next.err
}

// guardedly uses the guard, and says why the body goes no further.
func (b *guarded) guardedly(use func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return io.ErrClosedPipe
	}
	err := use()
	if err == nil {
		return nil
	}
	if why := b.guard.explain(err); why != nil {
		b.guard.pass.cut(why)
		return why
	}
	return err
}

// Close gives up what was not read to its end.
func (b *guarded) Close() error {
	err := b.ReadCloser.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.guard.stop()
	}
	return err
}
