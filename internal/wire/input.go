package wire

import (
	"context"
	"io"
	"reflect"
)

// ContextReader is an input that can be given up on without losing bytes: when
// ctx ends while nothing is there to be read, ReadContext returns 0 and ctx's
// error, and what arrives later is for the next reader.
type ContextReader interface {
	ReadContext(ctx context.Context, p []byte) (int, error)
}

// Input makes a ContextReader of any reader. One goroutine at a time reads
// ahead, at most inputChunk bytes and only once somebody asked; it stays in
// Read until something arrives, but what it reads goes to whoever asks next.
type Input struct {
	reader io.Reader
	ahead  chan chunk // what the goroutine read; never more than one

	turn    chan struct{} // a token that guards what follows
	reading bool          // a goroutine is on its way to ahead
	rest    chunk
}

type chunk struct {
	data []byte
	err  error // after data
}

const inputChunk = 32 << 10

// NewInput returns an Input that alone may read from r.
func NewInput(r io.Reader) *Input {
	return &Input{reader: r, ahead: make(chan chunk, 1), turn: make(chan struct{}, 1)}
}

// Read is ReadContext without an end.
func (in *Input) Read(p []byte) (int, error) { return in.ReadContext(context.Background(), p) }

// ReadContext returns what is there, or waits for it.
func (in *Input) ReadContext(ctx context.Context, p []byte) (int, error) {
	select {
	case in.turn <- struct{}{}:
		defer func() { <-in.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if len(in.rest.data) == 0 && in.rest.err == nil && len(p) > 0 {
		if err := in.fill(ctx); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.rest.data)
	in.rest.data = in.rest.data[n:]
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	// Forgotten once said: after the end of a terminal's input comes more.
	err := in.rest.err
	in.rest.err = nil
	return 0, err
}

func (in *Input) fill(ctx context.Context) error {
	if !in.reading {
		in.reading = true
		go func() {
			buf := make([]byte, inputChunk)
			n, err := in.reader.Read(buf)
			in.ahead <- chunk{buf[:n], err}
		}()
	}
	select {
	case in.rest = <-in.ahead:
		in.reading = false
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sameReader tells whether two readers are one, also for those that == would
// panic on.
func sameReader(a, b io.Reader) bool {
	if a == nil || b == nil || !reflect.TypeOf(a).Comparable() || !reflect.TypeOf(b).Comparable() {
		return false
	}
	return a == b
}
