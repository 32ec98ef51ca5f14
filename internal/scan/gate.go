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
// bytes at most, as many of whatever is written: see [Stream.Safe].
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

// Holds says whether anything is held back.
func (g *Gate) Holds() bool { return len(g.held) > 0 }

// Pause says that the source has had nothing to say for a while, and perhaps
// waits for an answer: all that is held back is let out. Who pauses within a
// value has its beginning leave, and could as well send its parts by
// themselves; what goes on from it is still found.
func (g *Gate) Pause() error {
	if g.err != nil {
		return g.err
	}
	return g.release(g.base + int64(len(g.held)))
}

// PauseLine is Pause for what ends with the last line: a byte that is in no
// value that a header can carry.
func (g *Gate) PauseLine() error {
	if g.err != nil {
		return g.err
	}
	return g.release(g.base + int64(Line(g.held)))
}

// Line is how much of text is there up to the end of its last line, or to the
// last byte that is no printable ASCII.
func Line(text []byte) int {
	n := len(text)
	for n > 0 && text[n-1] >= ' ' && text[n-1] <= '~' {
		n--
	}
	return n
}

// safe is how much may leave.
func (g *Gate) safe() int64 { return g.stream.Safe(g.Notes) }

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
			g.marks = append(g.marks, span{f.Offset, f.Offset + int64(f.Length)})
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
