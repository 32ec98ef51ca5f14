package gateway

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/scan"
)

// messages carries a WebSocket: what the client says passes frames, and what
// it hears through, if that is not nil. A client that is cut off is told why.
func (t *transfer) messages(through filter) *refusal {
	scanner, err := t.watch.scanner()
	if err != nil {
		return blind(err)
	}
	b := t.pass.bearing(t.up.secure)
	both := &conversation{tunnelled: tunnelled{idle: t.limits.idle}}
	both.moved()
	notes := b.Scan != policy.ScanBlock && b.Scan != policy.ScanRedact
	var refused *refusal
	said := newFrames(scanner, counted{both, t.up.conn, t.pass.spend}, notes, func(f scan.Finding, split bool) error {
		_, refused = t.handle(t.pass.asked(), t.pass, sighting{Finding: f, at: inMessage, split: split}, b)
		if refused != nil {
			return refused
		}
		return nil
	})
	heard := newServerFrames(counted{both, t.conn, t.pass.receive}, through)
	var up sync.WaitGroup
	up.Go(func() {
		err := both.through(said, end{t.conn, t.br})
		if errors.Is(err, errFrame) && refused == nil {
			refused = unscanned(b, errFrame.Error())
		}
		if refused != nil {
			t.pass.cut(refused)
		}
		if err == nil {
			err = closeWrite(t.up.conn)
		}
		if err != nil {
			t.up.conn.Close()
		}
	})
	err = both.through(heard, end{t.up.conn, t.up.br})
	broken := errors.Is(err, errFrame)
	if err == nil {
		err = heard.close()
	}
	if err == nil {
		err = closeWrite(t.conn)
	}
	if err != nil {
		both.end(t.conn)
		t.up.conn.Close()
	}
	up.Wait()
	switch why := t.pass.cutBy(); {
	case why != nil:
		if heard.say(why) == nil {
			t.linger()
		}
		return why
	case broken:
		return t.broken("upstream's WebSocket frames are malformed", nil)
	}
	return nil
}

// conversation is a tunnel each direction of which passes what looks at it.
type conversation struct {
	tunnelled
	over atomic.Bool // the client is listened to no more
}

// end ends what is read from conn.
func (c *conversation) end(conn net.Conn) {
	c.over.Store(true)
	_ = conn.SetReadDeadline(time.Unix(1, 0))
}

// counted writes to one end of a conversation.
type counted struct {
	both  *conversation
	dst   net.Conn
	count func(int) error
}

func (c counted) Write(p []byte) (int, error) { return len(p), c.both.write(c.dst, p, c.count) }

// withholding is a writer that holds bytes back as long as the source goes on.
type withholding interface {
	io.Writer
	Holds() bool
	Pause() error
}

// through copies one direction into out, to its end.
func (c *conversation) through(out withholding, src end) error {
	buffer := make([]byte, readerSize)
	for {
		wait, holds := c.idle-c.quiet(), out.Holds()
		if holds {
			wait = min(wait, guardPatience)
		}
		if err := src.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		if c.over.Load() {
			return net.ErrClosed
		}
		n, err := src.br.Read(buffer)
		if n > 0 {
			if _, werr := out.Write(buffer[:n]); werr != nil {
				return werr
			}
			c.moved()
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded) && holds:
			if err := out.Pause(); err != nil {
				return err
			}
		case errors.Is(err, os.ErrDeadlineExceeded) && c.quiet() < c.idle: // the other direction moved meanwhile
		case err != nil:
			return err
		}
	}
}
