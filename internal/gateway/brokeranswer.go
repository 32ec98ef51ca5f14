package gateway

import (
	"io"
	"net/http"
	"strings"

	"claude-bottle/internal/scan"
)

// answerFilter is what an answer's body passes, where it may hold a secret, and
// whether that may change its length. The header is that of the answer; what
// it says of a coding that is taken away goes.
func (s *server) answerFilter(to authority, header http.Header) (f filter, resized bool, refused *refusal) {
	coding, refused := s.codingOf(to, header)
	if refused != nil {
		return nil, false, refused
	}
	if coding == "" {
		return s.echoes, !s.broker.SameLength(), nil
	}
	header.Del("Content-Encoding")
	decode := piped(func(out io.Writer, in io.Reader) error {
		plain, err := scan.Decode(coding, in, 0)
		if err == nil {
			_, err = io.Copy(out, plain)
		}
		if err == nil { // what follows the coded body is no part of it
			_, err = io.Copy(io.Discard, in)
		}
		return err
	})
	return chain(decode, s.echoes), true, nil
}

// codingOf is that of an answer's body, "" for none. One that cannot be looked
// into is refused, and so are messages of gRPC that are compressed one by one.
func (s *server) codingOf(to authority, header http.Header) (string, *refusal) {
	coding := codingIn(header, "Content-Encoding")
	if _, err := scan.Decode(coding, strings.NewReader(""), 0); coding != "" && err != nil {
		return "", uncoded(to, coding)
	}
	if each := codingIn(header, "Grpc-Encoding"); each != "" {
		return "", uncoded(to, each)
	}
	return coding, nil
}

func codingIn(header http.Header, name string) string {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(header[name], ",")))
	if coding == "identity" {
		return ""
	}
	return coding
}

// describesBody says whether a field of an answer says how its body is read. It
// counts as it was sent, also where Connection names it and it goes no further:
// the body does (TestCodingNamedByConnection).
func describesBody(f field) bool { return f.is("content-encoding") || f.is("grpc-encoding") }

// echoes is the filter of answers that may hold a secret.
func (s *server) echoes(out io.Writer) io.WriteCloser { return settle(s.broker.Answer(out)) }

// screen looks at the head of an HTTP/1 answer from where secrets go.
func (t *transfer) screen(r response) (response, filter, bool, *refusal) {
	if !t.use.echo {
		return r, nil, false, nil
	}
	header := http.Header{}
	for _, f := range r.fields {
		if r.fields.goesOn(f) || describesBody(f) {
			key := http.CanonicalHeaderKey(f.name)
			header[key] = append(header[key], f.value)
		}
	}
	f, resized, refused := t.answerFilter(t.to, header)
	if refused != nil {
		return r, nil, false, refused
	}
	t.broker.EchoHeader(header)
	reason := http.Header{"Reason": {r.reason}}
	t.broker.EchoHeader(reason)
	r.reason, r.fields = reason.Get("Reason"), r.fields.replaced(header)
	return r, f, resized, nil
}

// screenTrailers is screen for the trailers of an HTTP/1 answer.
func (t *transfer) screenTrailers(fs fields) fields {
	if !t.use.echo {
		return fs
	}
	header := http.Header{}
	for _, f := range fs {
		key := http.CanonicalHeaderKey(f.name)
		header[key] = append(header[key], f.value)
	}
	t.broker.EchoHeader(header)
	return fs.replaced(header)
}
