package scan

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of a decoded body. A body may grow by more than maxRatio only as long
// as it is small: a deflate stream grows by 1032 at most (RFC 1951), text by
// three to ten.
const (
	maxRatio  = 200
	freeBytes = 1 << 20
)

var (
	// ErrEncoding says that a body cannot be looked into. Brotli and zstd are
	// among those: no client sends a request in them, and a decoder for either
	// would be more to attack than all else here.
	ErrEncoding = errors.New("a body in this content encoding cannot be looked into")
	// ErrBomb says that a body grows by more than any ordinary one.
	ErrBomb = errors.New("a body grows too much when it is decoded")
)

// Decode returns a reader of what body holds, by the Content-Encoding of its
// message: gzip, deflate, or nothing. A list of codings is refused. most
// bounds what comes out, in bytes; 0 for no bound but that of [ErrBomb]. An
// error of the coding itself is an error of the reader: what cannot be decoded
// must not be forwarded as if it had been looked at.
func Decode(encoding string, body io.Reader, most int64) (io.Reader, error) {
	var in counted = &counter{r: body}
	if bytewise, ok := body.(flate.Reader); ok {
		in = &byteCounter{r: bytewise}
	}
	var open func(io.Reader) (io.Reader, error)
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip": // RFC 9110, 8.4.1.3
		open = func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }
	case "deflate":
		open = openDeflate
	default:
		return nil, ErrEncoding
	}
	return &decoder{in: in, open: open, most: most}, nil
}

// openDeflate reads what RFC 9110, 8.4.1.2, calls deflate, which is zlib, and
// what some clients send instead, which is bare deflate.
func openDeflate(r io.Reader) (io.Reader, error) {
	in, ok := r.(flate.Reader)
	if !ok {
		in = bufio.NewReaderSize(r, 512)
	}
	var head [2]byte
	if n, err := io.ReadFull(in, head[:]); err != nil {
		return flate.NewReader(bytes.NewReader(head[:n])), nil // which says what is wrong
	}
	whole := &prefixed{Reader: in, head: head[:]}
	if head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(whole)
	}
	return flate.NewReader(whole), nil
}

// prefixed is a reader whose first bytes were read already.
type prefixed struct {
	flate.Reader
	head []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.head) == 0 {
		return p.Reader.Read(b)
	}
	n := copy(b, p.head)
	p.head = p.head[n:]
	return n, nil
}

func (p *prefixed) ReadByte() (byte, error) {
	if len(p.head) == 0 {
		return p.Reader.ReadByte()
	}
	b := p.head[0]
	p.head = p.head[1:]
	return b, nil
}

// counted is a reader that knows how much was read of it.
type counted interface {
	io.Reader
	count() int64
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) count() int64 { return c.n }

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// byteCounter is a counter that a decompressor reads no further of than it
// needs: what was counted is what it has taken in.
type byteCounter struct {
	r flate.Reader
	n int64
}

func (c *byteCounter) count() int64 { return c.n }

func (c *byteCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *byteCounter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// decoder opens its coding with the first Read, so that making one does not
// wait for the body.
type decoder struct {
	in   counted
	open func(io.Reader) (io.Reader, error)
	out  io.Reader
	most int64
	n    int64
	err  error
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.out == nil {
		if d.out, d.err = d.open(d.in); d.err != nil {
			d.err = fmt.Errorf("decode a body: %w", d.err)
			return 0, d.err
		}
	}
	n, err := d.out.Read(p)
	d.n += int64(n)
	switch {
	case d.n > freeBytes && d.n > maxRatio*d.in.count(), d.most > 0 && d.n > d.most:
		n, err = 0, ErrBomb
	case err != nil && !errors.Is(err, io.EOF):
		err = fmt.Errorf("decode a body: %w", err)
	}
	d.err = err
	return n, err
}
