package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrProtocol is what a peer's bytes end a connection with when they are no
// frame that may come: a bug, or an enemy.
var ErrProtocol = errors.New("broken protocol")

// ErrTooLarge is a message that no frame holds. Nothing of it was sent.
var ErrTooLarge = errors.New("too large to send")

const headerSize = 5 // kind, then the payload's length, big-endian

// Frame is one message. Payload is the Conn's and holds until the next Read.
type Frame struct {
	Kind    Kind
	Payload []byte
}

// Decode reads the payload as JSON into v.
func (f Frame) Decode(v any) error {
	if err := json.Unmarshal(f.Payload, v); err != nil {
		return fmt.Errorf("%w: read %v frame: %w", ErrProtocol, f.Kind, err)
	}
	return nil
}

// Conn sends and receives frames on a byte stream. One goroutine may Read;
// any number may Write and Close.
type Conn struct {
	rwc  io.ReadWriteCloser
	in   []byte // the payload last read, in its beginning
	held int    // bytes of that

	writing sync.Mutex // guards out and the order of frames
	out     []byte

	closing sync.Once
	closed  chan struct{}
	err     error // of closing rwc, set before closed is
}

// NewConn takes ownership of rwc, whose Close must end a Read and a Write
// that are under way.
func NewConn(rwc io.ReadWriteCloser) *Conn {
	return &Conn{rwc: rwc, closed: make(chan struct{})}
}

// Read returns the next frame. The error is io.EOF between two frames and
// io.ErrUnexpectedEOF inside one, wraps ErrProtocol for a kind that is
// unknown or too long a payload, and then the connection is closed. The payload
// before it is overwritten at once, since it may have held secrets.
func (c *Conn) Read() (Frame, error) {
	clear(c.in[:c.held])
	c.held = 0
	var header [headerSize]byte
	if _, err := io.ReadFull(c.rwc, header[:]); err != nil {
		return Frame{}, err
	}
	kind, size := Kind(header[0]), binary.BigEndian.Uint32(header[1:])
	limit, known := kind.limit()
	if !known || size > uint32(limit) { //nolint:gosec // G115: limits are small constants
		_ = c.Close()
		return Frame{}, fmt.Errorf("%w: %v frame of %d bytes", ErrProtocol, kind, size)
	}
	if int(size) > cap(c.in) {
		c.in = make([]byte, max(int(size), 4<<10))
	}
	payload := c.in[:size]
	c.held = len(payload)
	if _, err := io.ReadFull(c.rwc, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	return Frame{kind, payload}, nil
}

// Write sends one frame, whole: frames of several writers do not mix. An
// error leaves the stream in the middle of a frame and closes it. No trace of
// a control frame stays in the Conn, since it may have held secrets.
func (c *Conn) Write(kind Kind, payload []byte) error {
	limit, known := kind.limit()
	if !known || len(payload) > limit {
		return fmt.Errorf("%v frame of %d bytes, %d at most: %w", kind, len(payload), limit, ErrTooLarge)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = append(c.out[:0], byte(kind))
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(payload))) //nolint:gosec // G115: bounded above
	if cap(c.out)-len(c.out) < len(payload) {
		// Grown by hand: append would leave the bytes in the array it outgrows.
		c.out = append(make([]byte, 0, headerSize+max(len(payload), 4<<10)), c.out...)
	}
	c.out = append(c.out, payload...)
	_, err := c.rwc.Write(c.out)
	clear(c.out)
	if err != nil {
		_ = c.Close()
		return fmt.Errorf("send %v frame: %w", kind, err)
	}
	return nil
}

// WriteJSON sends v as a control frame.
func (c *Conn) WriteJSON(kind Kind, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("send %v frame: %w", kind, err)
	}
	defer func() { clear(b.Bytes()) }()
	return c.Write(kind, bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// WriteError sends what failed as the last frame of a conversation; a text
// that is too long is cut.
func (c *Conn) WriteError(failure error) error {
	text := failure.Error()
	return c.Write(KindError, []byte(text[:min(len(text), MaxText)]))
}

// CloseOn closes the connection when ctx ends. Stop, as of context.AfterFunc,
// takes that back.
func (c *Conn) CloseOn(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.Close() })
}

// Closed is closed once Close was called, by anyone.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// Close ends the stream in both directions. It may be called more than once.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		close(c.closed)
		c.err = c.rwc.Close()
	})
	return c.err
}
