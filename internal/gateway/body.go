package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errChunk   = errors.New("the chunked body is malformed")
	errTrailer = errors.New("the trailers are malformed")
	errStopped = errors.New("the body was stopped")
)

// buffers hold bytes under way. Nothing keeps one while it waits for a peer
// in a tunnel, so a thousand idle tunnels cost no buffer.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// carrier moves a body from one connection to another, as it comes, in
// constant memory.
type carrier struct {
	dst  net.Conn
	src  *bufio.Reader // of conn
	conn net.Conn
	idle time.Duration
	// count is told of the bytes before they are written, and may refuse.
	count func(n int) error
	// through, if it is not nil, is what the body passes. rechunk has a body
	// of known length go on as chunks, since that may change it. trailers, if
	// it is not nil, is what trailers pass.
	through  filter
	rechunk  bool
	trailers func(fields) fields
	into     io.WriteCloser // made of through
	// guard, if it is not nil, is what the body passes.
	guard *guard

	stopped atomic.Bool // see stop
}

// stop ends a body under way, which fails soon after. The flag is set before
// the deadline, and await looks at it after setting its own, so that one of
// them is seen.
func (c *carrier) stop() {
	c.stopped.Store(true)
	c.dst.Close()
	_ = c.conn.SetReadDeadline(time.Unix(1, 0))
}

// sourceError is an error of a carrier that is its source's, not its
// destination's.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// body moves a body with framing f. A chunked one goes on as chunks when
// chunked is set, else as its bytes alone.
func (c *carrier) body(f framing, chunked bool) error {
	if c.guard != nil {
		defer c.guard.stop()
	}
	if c.through != nil {
		return c.filtered(f, chunked)
	}
	return c.unfiltered(f, chunked)
}

func (c *carrier) unfiltered(f framing, chunked bool) error {
	if c.guard != nil {
		c.guard.out = onward{c, f.chunked && chunked}
	}
	if err := c.moved(f, chunked); err != nil || c.guard == nil || f.chunked {
		return err
	}
	return c.guard.Close()
}

// moved moves a body up to what a guard holds back.
func (c *carrier) moved(f framing, chunked bool) error {
	switch {
	case f.chunked:
		return c.chunks(chunked)
	case f.untilClose:
		return c.pieces(-1, false)
	default:
		return c.pieces(f.length, false)
	}
}

// chunks moves a chunked body. Chunks are cut anew, extensions dropped:
// nothing of the sender's framing reaches the receiver's parser.
func (c *carrier) chunks(chunked bool) error {
	for {
		if err := c.await(); err != nil {
			return err
		}
		size, err := readChunkSize(c.src)
		if err != nil {
			return sourceError{err}
		}
		if size == 0 {
			break
		}
		if err := c.pieces(size, chunked); err != nil {
			return err
		}
		if err := readCRLF(c.src); err != nil {
			return sourceError{err}
		}
	}
	if c.guard != nil {
		if err := c.guard.Close(); err != nil {
			return err
		}
	}
	if c.into != nil {
		if err := c.into.Close(); err != nil {
			return err
		}
	}
	trailers, err := readTrailers(c.src)
	if err != nil {
		return sourceError{err}
	}
	if c.guard != nil {
		if refused := c.guard.trailers(trailers); refused != nil {
			return refused
		}
	}
	if c.trailers != nil {
		trailers = c.trailers(trailers)
	}
	if !chunked {
		return nil
	}
	return c.write(trailers.appendTo([]byte("0\r\n"), "\r\n"))
}

// pieces moves n bytes, or with n below 0 all up to the end, each piece as
// soon as it is there.
func (c *carrier) pieces(n int64, chunked bool) error {
	toEnd := n < 0
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	const room = chunkRoom // for a chunk's size line in front, two bytes behind
	for toEnd || n > 0 {
		part := buffer[room : len(buffer)-2]
		if !toEnd && int64(len(part)) > n {
			part = part[:n]
		}
		got, err := c.read(part)
		if got > 0 {
			n -= int64(got)
			if werr := c.piece(buffer[:], got, chunked); werr != nil {
				return werr
			}
		}
		switch {
		case errors.Is(err, io.EOF) && toEnd:
			return nil
		case errors.Is(err, io.EOF):
			return sourceError{io.ErrUnexpectedEOF}
		case err != nil:
			return err
		}
	}
	return nil
}

// piece sends on the n bytes at chunkRoom.
func (c *carrier) piece(buffer []byte, n int, chunked bool) error {
	out := buffer[chunkRoom : chunkRoom+n]
	switch {
	case c.guard != nil:
		_, err := c.guard.Write(out)
		return err
	case c.into != nil:
		_, err := c.into.Write(out)
		return err
	case chunked:
		out = asChunk(buffer, n)
	}
	return c.write(out)
}

// chunkRoom is space for a chunk's size line.
const chunkRoom = 10

// asChunk puts a size line before and a CRLF behind the n bytes at chunkRoom.
func asChunk(buffer []byte, n int) []byte {
	var line [chunkRoom]byte
	head := append(strconv.AppendInt(line[:0], int64(n), 16), '\r', '\n')
	start := chunkRoom - len(head)
	copy(buffer[start:], head)
	copy(buffer[chunkRoom+n:], "\r\n")
	return buffer[start : chunkRoom+n+2]
}

// await gives the source idle time for its next byte, unless one is there.
func (c *carrier) await() error {
	return c.patiently(func() error {
		_, err := c.src.Peek(1)
		return err
	})
}

// read reads what is there next. An error that is the source's is a
// sourceError.
func (c *carrier) read(p []byte) (int, error) {
	n := 0
	try := func() (err error) { //nolint:nonamedreturns // n and err belong together
		n, err = c.src.Read(p)
		return err
	}
	if err := c.patiently(try); err != nil || n > 0 {
		return n, err
	}
	if err := try(); err != nil {
		return n, sourceError{err}
	}
	return n, nil
}

// patiently gives the source idle time for its next byte, unless one is there.
// While a guard holds something back it is tried to have the byte within a
// moment; without one what is held back goes on.
func (c *carrier) patiently(try func() error) error {
	if c.src.Buffered() > 0 {
		return nil
	}
	if c.guard != nil && c.guard.Holds() {
		if err := c.within(guardPatience); err != nil {
			return err
		}
		switch err := try(); {
		case err == nil: // what follows at once, as the rest of a chunk's line, has its time too
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return sourceError{err}
		default:
			if err := c.guard.Pause(); err != nil {
				return err
			}
		}
	}
	return c.within(c.idle)
}

// within has the source's next read end in time.
func (c *carrier) within(d time.Duration) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return sourceError{err}
	}
	if c.stopped.Load() {
		return errStopped
	}
	return nil
}

func (c *carrier) write(b []byte) error {
	if err := c.dst.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
		return err
	}
	if c.count != nil {
		if err := c.count(len(b)); err != nil {
			return err
		}
	}
	_, err := c.dst.Write(b)
	return err
}

// readChunkSize reads a chunk's first line (RFC 9112, 7.1). An extension is
// read over; a control byte in it, or a line that ends in LF alone
// (CVE-2025-22871), is an error.
func readChunkSize(br *bufio.Reader) (int64, error) {
	line, err := readLine(br, maxChunkExt)
	if err != nil {
		return 0, err
	}
	size, ext, extended := strings.Cut(line, ";")
	if extended {
		size = strings.TrimRight(size, " \t")
	}
	if size == "" || len(size) > 15 || strings.Trim(size, "0123456789abcdefABCDEF") != "" || !isFieldValue(ext) {
		return 0, errChunk
	}
	n, err := strconv.ParseInt(size, 16, 64)
	if err != nil {
		return 0, errChunk
	}
	return n, nil
}

func readLine(br *bufio.Reader, most int) (string, error) {
	b, err := br.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), len(b) > most:
		return "", errChunk
	case errors.Is(err, io.EOF):
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	case len(b) < 2 || b[len(b)-2] != '\r':
		return "", errChunk
	}
	return string(b[:len(b)-2]), nil
}

func readCRLF(br *bufio.Reader) error {
	line, err := readLine(br, 2)
	if err == nil && line != "" {
		return errChunk
	}
	return err
}

// readTrailers reads the fields after the last chunk. Those that say how a
// message is read or who sent it have no place there (RFC 9110, 6.5.1).
func readTrailers(br *bufio.Reader) (fields, error) {
	first, err := br.Peek(2)
	if err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if string(first) == "\r\n" {
		_, err := br.Discard(2)
		return nil, err
	}
	block, err := readHead(br, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTrailer, err)
	}
	fs, err := parseFields(block)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTrailer, err)
	}
	for _, f := range fs {
		if hopByHop(f) || framingField(f) || f.is("host") || f.is("authorization") || f.is("cookie") || f.is("set-cookie") {
			return nil, errTrailer
		}
	}
	return fs, nil
}

// appendTo appends the fields as lines, and then end.
func (fs fields) appendTo(b []byte, end string) []byte {
	for _, f := range fs {
		b = append(b, f.name...)
		b = append(b, ": "...)
		b = append(b, f.value...)
		b = append(b, "\r\n"...)
	}
	return append(b, end...)
}
