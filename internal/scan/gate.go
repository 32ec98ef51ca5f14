package scan

import (
	"errors"
	"fmt"
	"io"
)

// Verdict is what a caller does about a finding.
type Verdict int

// Verdicts. The zero value ends the stream.
const (
	Block  Verdict = iota
	Redact         // the bytes leave as asterisks, so that no length changes
	Pass           // they leave; the caller has made its note
)

// ErrBlocked is returned by a Gate once something was found that must not
// leave. Nothing of it has left, and nothing more will.
var ErrBlocked = errors.New("the scanner found what must not leave")

// Gate is a writer that lets bytes through once it is certain that they are
// no part of anything that is looked for. It holds back [Scanner.Lookback]
// bytes at most, and nothing at all when nothing has begun.
type Gate struct {
	// Notes says that credentials of others are let through whatever decide
	// says, so that nothing is held back for them.
	Notes  bool
	out    io.Writer
	stream *Stream
	decide func(Finding) Verdict
	held   []byte // what was written and has not left
	base   int64  // the offset of held's first byte
	marks  []span // in held, to be redacted
	hidden int64  // where the last of what was redacted ended
	err    error
}

type span struct{ from, to int64 }

// Gate makes one that writes to out and asks decide about each finding.
func (s *Scanner) Gate(out io.Writer, decide func(Finding) Verdict) *Gate {
	return &Gate{out: out, stream: s.Stream(), decide: decide}
}

// Write takes p. Errors are the destination's, or wrap [ErrBlocked].
func (g *Gate) Write(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	found := g.stream.Write(p)
	if len(found) == 0 && len(g.held) == 0 && g.safe() == g.base+int64(len(p)) {
		g.base += int64(len(p))
		return len(p), g.send(p)
	}
	g.held = append(g.held, p...)
	if !g.judge(found) {
		return 0, g.err
	}
	return len(p), g.release(g.safe())
}

// Slack is how many bytes of something that has begun may leave when the source
// has no more to say for now. All of them are less than any value.
const Slack = MinValue - 1

// Pause says that the source waits, perhaps for an answer to what it has said
// so far: the last bytes of an ordinary message, which might begin something,
// are let out. Who cuts a value there could as well send its parts by
// themselves.
func (g *Gate) Pause() error {
	end := g.base + int64(len(g.held))
	if g.err != nil || end-g.safe() > Slack {
		return g.err
	}
	return g.release(end)
}

// safe is Stream.Safe, for what can be refused.
func (g *Gate) safe() int64 {
	if g.Notes {
		return g.stream.safeValues()
	}
	return g.stream.Safe()
}

// Flush lets out what is held, if what has begun is at most so many bytes,
// those that left before included: so little would keep somebody waiting who
// reads as it comes. What goes on from it is still found, but for these bytes.
// Right behind what was redacted nothing leaves early: a long value is looked
// for by pieces, and would lose the beginning of each (TestGateFlushes).
func (g *Gate) Flush(most int) error {
	safe, end := g.safe(), g.base+int64(len(g.held))
	if g.err != nil || end-safe > int64(most) || g.hidden > 0 && safe-g.hidden < MinValue {
		return g.err
	}
	return g.release(end)
}

// Close lets the rest out. It does not close the destination.
func (g *Gate) Close() error {
	if g.err != nil {
		return g.err
	}
	end := g.base + int64(len(g.held))
	if !g.judge(g.stream.Close()) {
		return g.err
	}
	err := g.release(end)
	if err == nil {
		g.err = io.ErrClosedPipe
	}
	return err
}

// judge asks about each finding, and says whether the stream goes on.
func (g *Gate) judge(found []Finding) bool {
	for _, f := range found {
		switch g.decide(f) {
		case Pass:
		case Redact:
			g.hidden = f.Offset + int64(f.Length)
			g.marks = append(g.marks, span{f.Offset, g.hidden})
		default:
			clear(g.held)
			g.held = nil
			g.err = fmt.Errorf("%w: %v", ErrBlocked, f)
			return false
		}
	}
	return true
}

// release sends what lies before safe.
func (g *Gate) release(safe int64) error {
	n := int(safe - g.base)
	if n <= 0 {
		return nil
	}
	left := g.marks[:0]
	for _, mark := range g.marks {
		for i := max(mark.from, g.base); i < min(mark.to, safe); i++ {
			g.held[i-g.base] = '*'
		}
		if mark.to > safe {
			left = append(left, mark)
		}
	}
	g.marks = left
	err := g.send(g.held[:n])
	g.held = g.held[:copy(g.held, g.held[n:])]
	g.base = safe
	return err
}

func (g *Gate) send(p []byte) error {
	_, err := g.out.Write(p)
	if err != nil {
		g.err = err
	}
	return err
}
