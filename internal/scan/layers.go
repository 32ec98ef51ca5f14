package scan

import (
	"crypto/subtle"
	"slices"
	"sync"
	"unicode/utf8"
)

// levels is how often escapes are undone: what is escaped is looked at on the
// first, what is escaped twice on the second.
const levels = 2

// blockBytes is how much is looked at at once: with all that is made of it, it
// stays in a core's second cache.
const blockBytes = 4 << 10

// layer is what a stream keeps of one level: 0 is what was written.
type layer struct {
	// context are the last bytes, as far back as a finding may reach; of level
	// 0 it is the stream's tail.
	context  text
	squeezed []byte // what is kept of the last of them
	short    seen
	exact    seen
	// Of the level above: whether it sees what comes, which it does from an
	// escape on until no form can reach back to that one.
	open  bool
	far   int // bytes since then
	until int // bytes, when that is looked at
	// waiting is how many of the last bytes it has not seen, since they may
	// begin an escape.
	waiting int
}

// seen is how far bytes were looked at, of all or of those that are kept.
type seen struct {
	count int
	begun []begun
}

// begun is a form of which a window was seen, and which byte should be its last.
type begun struct{ form, end int }

// text is bytes, and where in the stream they come from.
type text struct {
	bytes   []byte
	origins []origin // nil where each byte is one of the stream
	base    int64    // of the first byte, then
}

// origin is where a byte comes from: its offset, how many bytes, and which
// level has put it in the place of an escape, 0 for none.
type origin uint64

const (
	originLevel = 3      // bits 0 and 1
	originSame  = 1 << 2 // a squeezed text is the same with the escape
	originWidth = 3      // the first of ten bits
	originBegin = 13
)

func originOf(from, to int64) origin {
	return origin(from<<originBegin | min(to-from, 1<<10-1)<<originWidth)
}

// undid says whether the byte is there by what level did to an escape that the
// lane would not have seen.
func (o origin) undid(level int, squeezed bool) bool {
	return int(o&originLevel) == level && (!squeezed || o&originSame == 0)
}

// begin and end are those of byte i in the stream.
func (t *text) begin(i int) int64 {
	if t.origins == nil {
		return t.base + int64(i)
	}
	return int64(t.origins[i] >> originBegin)
}

func (t *text) end(i int) int64 {
	if t.origins == nil {
		return t.base + int64(i) + 1
	}
	return t.begin(i) + int64(t.origins[i]>>originWidth&(1<<10-1))
}

// work is room for one block on each level.
type work struct {
	texts    [1 + levels]text
	squeezed [1 + levels]squeezed
	folded   []byte
	found    []found
}

var works = sync.Pool{New: func() any { return new(work) }}

// values looks for values in p, which begins at base and has the tail before
// it.
func (t *Stream) values(p []byte, base int64, end bool) {
	k := t.s.keyed
	if k == nil {
		return
	}
	w := works.Get().(*work)
	defer works.Put(w)
	whole := &w.texts[0]
	before := lastOf(t.tail, t.s.span)
	for {
		n := min(len(p), blockBytes)
		whole.bytes = append(append(whole.bytes[:0], before...), p[:n]...)
		whole.base = base - int64(len(before))
		t.feed(k.epoch(n), 0, w, len(before), end && n == len(p))
		if n == len(p) {
			return
		}
		before, p, base = p[max(0, n-t.s.span):n], p[n:], base+int64(n)
	}
}

// feed looks at what is new on a level: the level's text in w from done on.
func (t *Stream) feed(e *epoch, level int, w *work, done int, end bool) {
	l, have, short := &t.layers[level], &w.texts[level], &w.squeezed[level]
	short.bytes = append(short.bytes[:0], l.squeezed...)
	short.add(have.bytes, done)
	t.look(e, level, w, view{bytes: short.bytes, fresh: len(l.squeezed), done: done, squeezed: true})
	l.squeezed = append(l.squeezed[:0], lastOf(short.bytes, maxForm)...)
	if t.s.keyed.exact {
		from := max(0, done-maxForm)
		w.folded = fold(append(w.folded[:0], have.bytes[from:]...))
		t.look(e, level, w, view{bytes: w.folded, fresh: done - from, done: done})
	}
	if level < levels {
		t.unescape(e, level, w, done, end)
	}
}

// view is a level's text as lanes see it. Bytes are new from fresh on, which
// are those of the level's own text from done on.
type view struct {
	bytes       []byte
	fresh, done int
	squeezed    bool
}

// look looks for forms in a view.
func (t *Stream) look(e *epoch, level int, w *work, v view) {
	k, l := t.s.keyed, &t.layers[level].exact
	if v.squeezed {
		l = &t.layers[level].short
	}
	w.found = w.found[:0]
	for i, by := range k.lanes {
		if by.squeezed == v.squeezed {
			var twice int
			w.found, twice = e.look(i, by, v.bytes, v.fresh+by.every-l.count%by.every, w.found)
			t.twice += twice
		}
	}
	for _, f := range w.found {
		one := k.needles[f.needle]
		l.begun = append(l.begun, begun{int(one.form), l.count + f.end - v.fresh + int(one.behind)})
	}
	waiting := l.begun[:0]
	for _, b := range l.begun {
		if !t.finish(level, w, v, b.form, v.fresh+b.end-l.count) {
			waiting = append(waiting, b)
		}
	}
	l.begun = waiting
	l.count += len(v.bytes) - v.fresh
}

// finish looks at a form that should end before v.bytes[end], and says whether
// that has come.
func (t *Stream) finish(level int, w *work, v view, number, end int) bool {
	f := &t.s.keyed.forms[number]
	from := end - len(f.text)
	if end > len(v.bytes) {
		return false
	}
	if from < 0 || subtle.ConstantTimeCompare(v.bytes[from:end], f.text) != 1 {
		return true
	}
	have := &w.texts[level]
	if v.squeezed {
		t.settle(level, have, w.squeezed[level].end(have.bytes, end), f)
	} else {
		t.settle(level, have, v.done+end-v.fresh, f)
	}
	return true
}

// settle makes a finding of a form that ends before have.bytes[end], unless it
// is spread over more than may be held back, or nothing in it was an escape on
// this level: then the level below has found it.
func (t *Stream) settle(level int, have *text, end int, f *form) {
	behind := have.end(end - 1)
	from := t.back(have, end, behind, f.squeezed, len(f.text))
	if from < 0 {
		return
	}
	undid := func(o origin) bool { return o.undid(level, f.squeezed) }
	if level > 0 && !slices.ContainsFunc(have.origins[from:end], undid) {
		return
	}
	for range f.before {
		before := t.back(have, from, behind, f.squeezed, 1)
		if before < 0 {
			break
		}
		from = before
	}
	v, offset := t.s.values[f.value], have.begin(from)
	t.found = append(t.found, Finding{
		Kind: v.Kind, Name: v.Name, Encoding: f.encoding, At: f.at,
		Offset: offset, Length: int(behind - offset),
	})
}

// back is the index of the nth byte before have.bytes[end] that counts, or -1
// where that is further from behind than a finding may reach, or behind what
// ends a run.
func (t *Stream) back(have *text, end int, behind int64, squeezed bool, n int) int {
	for i := end - 1; i >= 0 && behind-have.begin(i) <= int64(t.s.span); i-- {
		if squeezed && have.bytes[i] >= utf8.RuneSelf {
			return -1
		}
		if !squeezed || kept[have.bytes[i]] != 0 {
			if n--; n == 0 {
				return i
			}
		}
	}
	return -1
}
