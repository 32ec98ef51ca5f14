package gateway

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/scan"
)

// mediateStream is mediate for a request of an HTTP/2 client, of which header
// is what is not for this hop.
func (m *multiplexed) mediateStream(p policy.Request, r *http.Request, header http.Header, to authority, path string) (mediated, http.Header, *refusal) {
	header.Del("Host")
	if m.broker == nil {
		header.Del("Content-Length")
		return mediated{path: path}, header, nil
	}
	use, header, refused := m.mediate(r.Context(), p, to, path, header, true, func() ([]byte, error) {
		data, err := io.ReadAll(io.LimitReader(r.Body, maxSigned+1))
		if len(data) > maxSigned {
			err = errBodySize
		}
		return data, err
	})
	if refused == nil {
		header.Del("Content-Length")
	}
	return use, header, refused
}

// source is the request's body as it goes on, and its length.
func (s *stream) source() (io.ReadCloser, int64) {
	switch {
	case s.use.read:
		return s.guarded(io.NopCloser(bytes.NewReader(s.use.body))), int64(len(s.use.body))
	case s.use.through == nil:
		return s.guarded(s.r.Body), s.r.ContentLength
	}
	from := s.guarded(s.r.Body)
	out, in := io.Pipe()
	w := s.use.through(in)
	go func() { // ends with the body, or when out is closed
		_, err := io.Copy(w, from)
		if err == nil {
			err = w.Close()
		} else {
			abort(w, err)
		}
		_ = in.CloseWithError(err)
		_ = from.Close()
	}()
	return out, s.r.ContentLength
}

// screen looks at the head of an answer from where secrets go, and gives what
// its body passes.
func (s *stream) screen(answer *http.Response) *refusal {
	if !s.use.echo {
		return nil
	}
	coding, refused := s.codingOf(s.way.to, answer.Header)
	if refused != nil {
		return refused
	}
	plain, err := scan.Decode(coding, answer.Body, 0)
	if err != nil {
		return uncoded(s.way.to, coding)
	}
	resized := !s.broker.SameLength()
	if coding != "" {
		answer.Header.Del("Content-Encoding")
		resized = true
	}
	if resized {
		answer.Header.Del("Content-Length")
	}
	answer.Body = readCloser{plain, answer.Body}
	s.broker.EchoHeader(answer.Header)
	return nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// screened is what the body of an answer is written to, and the sink below
// that, nil where there is none.
func (s *stream) screened() (io.WriteCloser, *streamSink) {
	if !s.use.echo {
		return unscreened{s.w}, nil
	}
	sink := &streamSink{Writer: s.w, flush: http.NewResponseController(s.w)}
	return s.echoes(sink), sink
}

type unscreened struct{ io.Writer }

func (unscreened) Close() error { return nil }

// streamSink sends each write at once, whoever's turn it is, but for those at
// the end of a body, which leave together with the stream's end.
type streamSink struct {
	io.Writer
	flush *http.ResponseController
	last  atomic.Bool // what is written ends a body
}

func (s *streamSink) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	if err == nil && !s.last.Load() {
		err = s.flush.Flush()
	}
	return n, err
}
