package gateway

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// end is one side of a tunnel: a connection and what was read of it already.
type end struct {
	conn net.Conn
	br   *bufio.Reader
}

// tunnel carries bytes both ways until both sides have ended or nothing moved
// for the idle limit, which the record says. The end of one side is passed on and the other goes on
// (TestHalfClose).
func (s *server) tunnel(p *passage, client, upstream end) {
	t := &tunnelled{idle: s.limits.idle, conduits: s.conduits}
	t.moved()
	var up sync.WaitGroup
	up.Go(func() { t.carry(upstream.conn, client, meter{p.spend, p.room}) })
	t.carry(client.conn, upstream, meter{p.receive, boundless})
	up.Wait()
	if t.silent.Load() {
		p.cut(failure(p.host, p.port, "nothing moved in either direction for "+t.idle.String(), os.ErrDeadlineExceeded))
	}
}

// meter counts the bytes of one direction before they go on, unless they may
// not, and says how many may, as far as one transfer is concerned.
type meter struct {
	count func(int) error
	room  func() int
}

func boundless() int { return math.MaxInt }

// errBulk says that a source has delivered as much as fits a buffer: there is
// probably more, and the kernel moves it for less.
var errBulk = errors.New("bulk")

// errConduits is that all conduits are in use.
var errConduits = errors.New("all conduits are in use")

// splicePause is how many full buffers are copied, where all conduits are in
// use, before the kernel is asked again.
const splicePause = 16

// tunnelled is what both directions of a tunnel share.
type tunnelled struct {
	idle     time.Duration
	conduits *conduits
	last     atomic.Int64 // when a byte last moved, in nanoseconds of the epoch
	ended    atomic.Int32 // directions that came to their end
	silent   atomic.Bool  // nothing moved for idle
}

func (t *tunnelled) moved() { t.last.Store(time.Now().UnixNano()) }

func (t *tunnelled) quiet() time.Duration { return time.Since(time.Unix(0, t.last.Load())) }

// carry copies one direction to its end, which it passes on, unless it is the
// second: the caller closes both connections then.
func (t *tunnelled) carry(dst net.Conn, src end, m meter) {
	err := t.copy(dst, src, m)
	if err == nil && t.ended.Add(1) == 1 {
		err = closeWrite(dst)
	}
	if err != nil { // a reset, or silence: both directions are over
		dst.Close()
		src.conn.Close()
	}
}

// copy returns nil at the source's end.
func (t *tunnelled) copy(dst net.Conn, src end, m meter) error {
	if n := src.br.Buffered(); n > 0 {
		early, err := src.br.Peek(n)
		if err != nil {
			return err
		}
		if err := t.write(dst, early, m.count); err != nil {
			return err
		}
	}
	full := 1 // buffers until the kernel is asked to move what comes
	piece := func(b []byte) error {
		if err := t.write(dst, b, m.count); err != nil || len(b) < bufferSize {
			return err
		}
		if full--; full == 0 {
			return errBulk
		}
		return nil
	}
	for {
		if err := src.conn.SetReadDeadline(time.Now().Add(t.idle - t.quiet())); err != nil {
			return err
		}
		err := eachPiece(src.conn, piece)
		if err == errBulk { //nolint:errorlint // nothing wraps it
			full, err = 1, t.splice(dst, src.conn, m)
		}
		switch {
		case err == nil:
		case errors.Is(err, errConduits):
			full = splicePause
		case errors.Is(err, errors.ErrUnsupported):
			full = -1
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded) && t.quiet() < t.idle: // the other direction moved meanwhile
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.silent.Store(true)
			return err
		default:
			return err
		}
	}
}

func (t *tunnelled) write(dst net.Conn, b []byte, count func(int) error) error {
	if err := dst.SetWriteDeadline(time.Now().Add(t.idle)); err != nil {
		return err
	}
	if err := count(len(b)); err != nil {
		return err
	}
	_, err := dst.Write(b)
	t.moved()
	return err
}
