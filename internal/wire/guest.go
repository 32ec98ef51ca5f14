package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Streams are the launcher's ends of one process. Nil Stdin is empty input;
// nil Stdout or Stderr discards. Resize and Signals may be nil.
//
// Stdin is read no further ahead than the guest takes, but what was read when
// the process ends is gone, as with ssh and docker exec. A Stdin that blocks
// and is no ContextReader keeps one goroutine in Read after Exec returned;
// what that one reads still goes to the next Exec of the same client with the
// same Stdin. Where several clients or prompts share an input, wrap it once
// with NewInput.
type Streams struct {
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Resize  <-chan Size
	Signals <-chan os.Signal
}

// ErrEnded is the end of a stream that was not closed on this side: the guest
// is gone, or whoever carried the stream to it.
var ErrEnded = errors.New("the guest's stream ended")

// errBusy is a second Exec while one is under way.
var errBusy = errors.New("the guest's stream is in use: one process at a time")

// patience is how long the client waits for its own goroutines when the peer,
// or a writer of the caller's, keeps one of them from ending.
const patience = 2 * time.Second

// GuestClient speaks to a guest over one stream; one process at a time.
//
// The guest may be in an enemy's hands from the moment its first process
// runs. Whatever it sends, the client holds a bounded number of bytes, writes
// to Streams of a running Exec alone, and ends the connection at the first
// frame that may not come.
type GuestClient struct {
	conn *Conn
	done chan struct{} // closed when receive has ended; then err says why
	err  error

	mu      sync.Mutex // guards what follows
	handler func(Frame) error
	stdin   io.Reader // of the last Exec
	input   *Input    // made of it
}

// NewGuestClient takes ownership of rwc. One goroutine reads from it until
// Close, or the stream's end.
func NewGuestClient(rwc io.ReadWriteCloser) *GuestClient {
	c := &GuestClient{conn: NewConn(rwc), done: make(chan struct{})}
	go c.receive()
	return c
}

// Done is closed when the stream has ended, also while no Exec is under way.
func (c *GuestClient) Done() <-chan struct{} { return c.done }

// Close ends the stream; with the boot stream of an attached guest, the bottle.
func (c *GuestClient) Close() error { return c.conn.Close() }

// Boot hands the boot frame over and waits until the guest says it is ready.
// An error of the guest's own is a *RemoteError.
func (c *GuestClient) Boot(ctx context.Context, boot GuestBoot) error {
	ready := make(chan struct{})
	return c.request(ctx, "boot guest", KindGuestBoot, boot, ready, func(f Frame) error {
		if f.Kind != KindReady || isClosed(ready) {
			return fmt.Errorf("%w: %v frame while it boots", ErrProtocol, f.Kind)
		}
		close(ready)
		return nil
	})
}

// request sends one message and waits until receive has closed answered. When
// it returns nil the stream is open, also when ctx ended in the same moment.
func (c *GuestClient) request(
	ctx context.Context, what string, kind Kind, message any, answered <-chan struct{}, receive func(Frame) error,
) error {
	return c.ask(ctx, what, answered, receive, func() error { return c.conn.WriteJSON(kind, message) })
}

// ask is request of what send sends.
func (c *GuestClient) ask(
	ctx context.Context, what string, answered <-chan struct{}, receive func(Frame) error, send func() error,
) error {
	if err := c.listen(receive); err != nil {
		return err
	}
	defer c.unlisten()
	stop := c.conn.CloseOn(ctx)
	defer stop()
	if err := send(); err != nil {
		return c.failure(ctx, what, err)
	}
	select {
	case <-answered:
	case <-c.done:
		return c.failure(ctx, what, nil)
	}
	if !stop() { // ctx ended: the stream is being closed
		return c.failure(ctx, what, nil)
	}
	return nil
}

// Exec runs one process to its end and returns how it ended. The error is of
// the stream, the guest or the caller's Stdout and Stderr, never of the
// process. When ctx ends the stream is closed, which ends the process.
//
// All that the process itself printed arrives before Exec returns. What is
// left running behind it, with its output still open, may print for a fifth
// of a second more; it goes on running, and what it prints then is dropped.
// (ssh would wait for it, docker exec too: here the next process waits.)
//
// Exit.Message is printable.
func (c *GuestClient) Exec(ctx context.Context, start Start, streams Streams) (Exit, error) {
	p := newExecution(c.conn, streams)
	if err := c.listen(p.receive); err != nil {
		return Exit{}, err
	}
	defer c.unlisten()
	defer c.conn.CloseOn(ctx)()
	if err := c.conn.WriteJSON(KindStart, start); err != nil {
		if errors.Is(err, ErrTooLarge) {
			return Exit{}, err
		}
		return Exit{}, c.failure(ctx, "run process", err)
	}
	feeding, stop := context.WithCancel(ctx)
	var feeders sync.WaitGroup
	feeders.Go(func() { p.feed(feeding, c.inputOf(streams.Stdin)) })
	feeders.Go(func() { p.control(feeding) })

	select {
	case <-p.exited:
	case <-c.conn.Closed(): // not done: receive may be stuck in a writer of the caller's
	}
	stop()
	if !c.settle(&feeders) {
		// The guest no longer reads: nothing can be run on this stream.
		_ = c.conn.Close()
	}
	if !isClosed(p.exited) {
		return Exit{}, c.failure(ctx, "run process", nil)
	}
	return p.exit, p.outputError()
}

// settle waits for the goroutines of an Exec, so that no frame of it comes
// after the start of the next.
func (c *GuestClient) settle(feeders *sync.WaitGroup) bool {
	settled := make(chan struct{})
	go func() { feeders.Wait(); close(settled) }()
	select {
	case <-settled:
		return true
	case <-time.After(patience):
		return false
	}
}

// inputOf finds the Input that the last Exec made of the same reader: it may
// still hold bytes, or wait for some.
func (c *GuestClient) inputOf(r io.Reader) ContextReader {
	if in, ok := r.(ContextReader); ok || r == nil {
		return in
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !sameReader(c.stdin, r) {
		c.stdin, c.input = r, NewInput(r)
	}
	return c.input
}

// receive hands frames to whoever listens. A frame that nobody waits for ends
// the connection, but for an error, which says why there will be no other.
func (c *GuestClient) receive() {
	defer close(c.done)
	defer func() { _ = c.conn.Close() }()
	for {
		f, err := c.conn.Read()
		switch {
		case err == nil:
			err = c.dispatch(f)
		case errors.Is(err, ErrProtocol):
		case errors.Is(err, io.EOF):
			err = ErrEnded
		default:
			err = fmt.Errorf("%w: %w", ErrEnded, err)
		}
		if err != nil {
			c.err = err
			return
		}
	}
}

func (c *GuestClient) dispatch(f Frame) error {
	if f.Kind == KindError {
		return remoteError(f)
	}
	c.mu.Lock()
	handler := c.handler
	c.mu.Unlock()
	if handler == nil {
		return fmt.Errorf("%w: %v frame while nothing runs", ErrProtocol, f.Kind)
	}
	return handler(f)
}

func (c *GuestClient) listen(handler func(Frame) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handler != nil {
		return errBusy
	}
	c.handler = handler
	return nil
}

func (c *GuestClient) unlisten() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handler = nil
}

// failure ends the stream and says why it failed: what the guest said, else
// the caller's own context, else what the guest did that it may not, else
// sending, the error of a Write. It waits until receive has ended, so that
// nothing is written to Streams any more, but for a write that is stuck.
func (c *GuestClient) failure(ctx context.Context, what string, sending error) error {
	_ = c.conn.Close()
	cause := ErrEnded
	select {
	case <-c.done:
		cause = c.err
	case <-time.After(patience):
	}
	var remote *RemoteError
	switch {
	case errors.As(cause, &remote):
	case ctx.Err() != nil:
		cause = context.Cause(ctx)
	case errors.Is(cause, ErrProtocol):
	case sending != nil:
		cause = fmt.Errorf("%w: %w", ErrEnded, sending)
	}
	return fmt.Errorf("%s: %w", what, cause)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
