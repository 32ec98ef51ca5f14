package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"claude-bottle/internal/broker"
)

// maxSigned bounds a body that is held because a signature covers it, in
// bytes: the largest of the AWS services that sign so take 16 MiB, most 1 MiB.
// maxHolding is how many are held at a time, and maxSigning how many bodies of
// signed chunks are under way, of each of which a chunk is held.
const (
	maxSigned  = 4 << 20
	maxHolding = 4
	maxSigning = 32
)

func payloadHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// hold takes a place for a body that is held, and reads it.
func (s *server) hold(to authority, read func() ([]byte, error)) ([]byte, *refusal) {
	select {
	case s.holding <- struct{}{}:
		defer func() { <-s.holding }()
	default:
		return nil, tooManyHeld(to)
	}
	data, err := read()
	switch {
	case errors.Is(err, errBodySize):
		why := malformed(fmt.Sprintf("the signature covers a body of more than %d MiB, which is not held", maxSigned>>20)).at(to.host, to.port)
		why.status = http.StatusRequestEntityTooLarge
		return nil, why
	case err != nil:
		return nil, malformed("the body broke off").at(to.host, to.port)
	}
	return data, nil
}

func tooManyHeld(to authority) *refusal {
	why := malformed("too many bodies are held to be signed").at(to.host, to.port)
	why.status = http.StatusServiceUnavailable
	return why
}

// signChunks is the filter of a body whose chunks are signed anew. Where too
// many are under way already it fails, so that a bottle that begins thousands
// and ends none does not fill the memory (TestSignedBodiesAreFew); two that
// found the last place free may both get here (TestLastPlaceToSign).
func (s *server) signChunks(to authority, chunks *broker.ChunkSigner) filter {
	return piped(func(out io.Writer, in io.Reader) error {
		select {
		case s.signing <- struct{}{}:
			defer func() { <-s.signing }()
		default:
			return tooManyHeld(to)
		}
		return chunks.Copy(out, in)
	})
}

var errBodySize = errors.New("the body is too large to be held")

// readBody reads the body of an HTTP/1 request, which was not asked for yet.
func (c *session) readBody(r request, body framing) ([]byte, error) {
	if body.empty() {
		return nil, nil
	}
	if body.length > maxSigned {
		return nil, errBodySize
	}
	if _, n := r.fields.get("expect"); n > 0 {
		if err := c.conn.SetWriteDeadline(time.Now().Add(c.limits.head)); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(c.conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return nil, err
		}
	}
	sink := &bounded{Conn: c.conn, left: maxSigned}
	from := &carrier{dst: sink, src: c.br, conn: c.conn, idle: c.limits.idle}
	err := from.body(body, false)
	if sink.left < 0 {
		err = errBodySize
	}
	return sink.data.Bytes(), err
}

// bounded takes what a carrier writes into memory, up to a bound.
type bounded struct {
	net.Conn
	data bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errBodySize
	}
	return b.data.Write(p)
}

func (b *bounded) SetWriteDeadline(time.Time) error { return nil }
func (b *bounded) Close() error                     { return nil }

// held is a body that was read, in place of the client's.
func held(body []byte) *bufio.Reader { return bufio.NewReaderSize(bytes.NewReader(body), 4<<10) }

// piped makes a filter of what copies a whole body. It must be closed, or
// aborted.
func piped(copy func(out io.Writer, in io.Reader) error) filter {
	return func(out io.Writer) io.WriteCloser {
		in, end := io.Pipe()
		p := &pipedBody{end: end, done: make(chan struct{})}
		go func() { // ends with end
			defer close(p.done)
			p.err = copy(out, in)
			_ = in.CloseWithError(p.err)
		}()
		return p
	}
}

type pipedBody struct {
	end  *io.PipeWriter
	done chan struct{}
	err  error
}

func (p *pipedBody) Write(b []byte) (int, error) { return p.end.Write(b) }

func (p *pipedBody) Close() error {
	_ = p.end.Close()
	<-p.done
	return p.err
}

// abort ends it without the end of the body.
func (p *pipedBody) abort(err error) {
	_ = p.end.CloseWithError(err)
	<-p.done
}
