package wire

import (
	"context"
	"io"
	"os"
)

// Streams are the launcher's ends of one process. Nil Stdin is empty input;
// nil Stdout or Stderr discards. Resize and Signals may be nil.
type Streams struct {
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Resize  <-chan Size
	Signals <-chan os.Signal
}

// GuestClient speaks to a guest over one stream; one process at a time.
type GuestClient struct{ conn *Conn }

// NewGuestClient takes ownership of rwc.
func NewGuestClient(rwc io.ReadWriteCloser) *GuestClient { return &GuestClient{NewConn(rwc)} }

// Boot hands the boot frame over and waits until the guest says it is ready.
func (c *GuestClient) Boot(ctx context.Context, boot GuestBoot) error { panic("unwritten") }

// Exec runs one process to its end and returns how it ended. The error is of
// the stream or the guest, never of the process. When ctx ends the stream is
// closed, which ends the process.
func (c *GuestClient) Exec(ctx context.Context, start Start, streams Streams) (Exit, error) {
	panic("unwritten")
}

// Close ends the stream; with the boot stream of an attached guest, the bottle.
func (c *GuestClient) Close() error { return c.conn.Close() }
