package scan

import (
	"bytes"
	"crypto/sha256"
)

// Stream reads one sequence of bytes. What it finds does not depend on how
// the sequence is cut into pieces (FuzzSplits). It is for one goroutine.
//
// Pieces that a receiver would put together, header values, path segments,
// the labels of a name, the payloads of WebSocket frames, are written one
// after the other without what stood between them.
type Stream struct {
	s          *Scanner
	state      uint32
	run        int64 // where the state last left the start
	total      int64
	candidates []candidate
	// tail is what was written last, as far back as the beginning of anything
	// that is still under way may lie.
	tail   []byte
	found  []Finding
	layers [1 + levels]layer
	twice  int // windows that were looked at twice
}

// Stream begins a new one.
func (s *Scanner) Stream() *Stream { return &Stream{s: s} }

// Write reads p and returns what is found to be complete, each finding once.
// The slice is the stream's, until the next call. p is not kept.
func (t *Stream) Write(p []byte) []Finding {
	t.found = t.found[:0]
	base := t.total
	t.feedCandidates(p, base)
	t.walk(p, base)
	t.values(p, base, false)
	t.total = base + int64(len(p))
	t.keep(p)
	return t.found
}

// Close ends the stream and returns what its end completes. The stream can
// then be used for another.
func (t *Stream) Close() []Finding {
	t.found = t.found[:0]
	for _, c := range t.candidates {
		if t.s.rows[c.row].end(&c) {
			t.judge(c, t.total, nil, t.total)
		}
	}
	t.values(nil, t.total, true)
	clear(t.tail)
	*t = Stream{s: t.s, tail: t.tail[:0], candidates: t.candidates[:0], found: t.found}
	return t.found
}

// Safe is the offset before which all may leave: bytes from there on may yet
// turn out to be part of something. Where values are looked for it is behind by
// the length of the longest of their forms, whatever was written: who chose the
// bytes, and sees which are held back, learns nothing of a value that they may
// begin (TestGateTellsNothing). With notes, credentials do not count; their
// forms are public.
func (t *Stream) Safe(notes bool) int64 {
	safe := max(0, t.total-int64(t.s.window))
	if notes {
		return safe
	}
	if t.s.window == 0 {
		safe = t.begun()
	}
	for _, c := range t.candidates {
		safe = min(safe, c.start)
	}
	return safe
}

// begun is where the longest form begins that may be under way.
func (t *Stream) begun() int64 {
	if t.state == 0 {
		return t.total
	}
	return max(t.run, t.total-int64(t.s.machine.states[t.state].deep))
}

// Pending is how many of the last bytes that were written are not safe.
func (t *Stream) Pending(notes bool) int64 { return t.total - t.Safe(notes) }

// Lookback is how many bytes Safe may be behind, at most.
func (s *Scanner) Lookback() int { return s.lookback }

// walk runs the automaton over p, and skips by the filter what cannot begin
// anything.
func (t *Stream) walk(p []byte, base int64) {
	m, f := t.s.machine, t.s.filter
	state := t.state
	for i := 0; i < len(p); {
		busy := i // the automaton goes on at least until here
		if state == 0 {
			hit := f.next(p, i)
			i = max(i, hit-1)
			t.run = base + int64(i)
			busy = min(hit+1, len(p))
		}
		for i < len(p) && (state != 0 || i < busy) {
			if state == 0 {
				t.run = base + int64(i)
			}
			state = m.step(state, p[i])
			i++
			if at := m.states[state].accepts; at != 0 {
				t.accept(m.accepts[at], p, i, base)
			}
		}
	}
	t.state = state
}

// accept takes the rows whose keyword the automaton has read behind p[:end].
func (t *Stream) accept(rows []int32, p []byte, end int, base int64) {
	for _, row := range rows {
		t.keyword(row, p, end, base)
	}
}

// keyword begins a candidate, unless the keyword is the end of a longer word.
func (t *Stream) keyword(row int32, p []byte, end int, base int64) {
	r := &t.s.rows[row]
	end -= r.ahead
	if !r.Inside && !beginsWord(t.before(p, end, len(r.Keyword)+beforeToken), len(r.Keyword)) {
		return
	}
	c := candidate{row: row, start: base + int64(end-len(r.Keyword))}
	t.follow(c, p, end, base)
}

// follow gives a candidate what is there of p from from on.
func (t *Stream) follow(c candidate, p []byte, from int, base int64) {
	r := &t.s.rows[c.row]
	for i := from; i < len(p); i++ {
		switch r.feed(&c, p[i]) {
		case failed:
			return
		case complete:
			t.judge(c, base+int64(i), p, base)
			return
		case more:
		}
	}
	t.candidates = append(t.candidates, c)
}

func (t *Stream) feedCandidates(p []byte, base int64) {
	waiting := t.candidates
	t.candidates = waiting[:0] // never ahead of the one that is read
	for _, c := range waiting {
		t.follow(c, p, 0, base)
	}
}

// judge looks at a candidate that ends before the stream's byte end, of which
// p holds those from base on.
func (t *Stream) judge(c candidate, end int64, p []byte, base int64) {
	r := &t.s.rows[c.row]
	credential := t.before(p, int(end-base), int(end-c.start))
	if Entropy(credential[len(r.Keyword):]) < r.Entropy {
		return
	}
	if r.Check != nil && !r.Check(credential) {
		return
	}
	if len(t.s.allowed) > 0 && t.s.allowed[sha256.Sum256(credential)] {
		return
	}
	t.found = append(t.found, Finding{Kind: Credential, Name: r.ID, Offset: c.start, Length: len(credential), At: -1})
}

// before is the n bytes before p[end], or fewer where the stream began later;
// those that were before p come out of the tail.
func (t *Stream) before(p []byte, end, n int) []byte {
	if end >= n {
		return p[end-n : end]
	}
	tail := t.tail[max(0, len(t.tail)-(n-end)):]
	return append(bytes.Clone(tail), p[:end]...)
}

// keep takes over of p what may be looked at again.
func (t *Stream) keep(p []byte) {
	keep := t.s.lookback
	if len(p) >= keep {
		t.tail = append(t.tail[:0], p[len(p)-keep:]...)
		return
	}
	if drop := len(t.tail) + len(p) - keep; drop > 0 {
		t.tail = t.tail[:copy(t.tail, t.tail[drop:])]
	}
	t.tail = append(t.tail, p...)
}

// beforeToken is how many bytes before a keyword are looked at: the longest
// escape that can stand there, \u0022.
const beforeToken = 6

// beginsWord says whether the keyword, p's last n bytes, is not the end of a
// longer word. The last characters of an escape are none of a word: \n, %3D,
// \u0022.
func beginsWord(p []byte, n int) bool {
	p = p[:len(p)-n]
	at := func(back int) byte {
		if back > len(p) {
			return 0
		}
		return p[len(p)-back]
	}
	if !isWord(at(1)) {
		return true
	}
	return at(2) == '\\' || at(3) == '%' || at(4) == '\\' && at(3) == 'x' || at(6) == '\\' && at(5) == 'u'
}

func isWord(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}
