package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
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
	s.guard, refused = s.server.guard(s.pass, s.header["Content-Encoding"], true)
	return refused
}

// guarded is the request's body on the other side of its guard.
func (s *stream) guarded(body io.ReadCloser) io.ReadCloser {
	g := &guarded{ReadCloser: body, guard: s.guard, trailer: s.r.Trailer}
	s.guard.out = &g.out
	return g
}

// guarded is a body of an HTTP/2 request that passes a guard.
type guarded struct {
	io.ReadCloser
	guard *guard
	out   bytes.Buffer
	err   error
	// trailer is filled in when the body ends.
	trailer http.Header
}

func (b *guarded) Read(p []byte) (int, error) {
	for b.out.Len() == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.err = b.fill(p[:min(len(p), bufferSize)])
	}
	return b.out.Read(p)
}

// fill reads the next piece, by way of room.
func (b *guarded) fill(room []byte) error {
	n, err := b.ReadCloser.Read(room)
	_, kept := b.guard.Write(room[:n])
	if kept == nil && err == nil {
		kept = b.guard.Pause()
	}
	if kept == nil && errors.Is(err, io.EOF) {
		kept = b.guard.end(fieldsOf(b.trailer))
	}
	if kept == nil {
		return err
	}
	if why := b.guard.explain(kept); why != nil {
		b.guard.pass.cut(why)
		return why
	}
	return kept
}

// Close gives up what was not read to its end.
func (b *guarded) Close() error {
	b.guard.stop()
	return b.ReadCloser.Close()
}
