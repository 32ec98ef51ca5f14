package scan

import "slices"

// unescape gives the next level what is new on this one, without its escapes,
// as far as there are any near.
func (t *Stream) unescape(e *epoch, level int, w *work, done int, end bool) {
	l, have := &t.layers[level], &w.texts[level]
	from := done - l.waiting
	l.waiting = 0
	fresh, exact := t.resume(level, w), t.s.keyed.exact
	for i := from; i < len(have.bytes); {
		var next int
		if exact {
			next = nextEscape(have.bytes, i)
		} else { // no form goes over a run's end
			next = w.squeezed[level].nextEscape(have.bytes, i, done)
		}
		for i < next && l.open {
			i += t.passOn(e, level, w, fresh, i, next)
		}
		if i = next; i == len(have.bytes) {
			break
		}
		one, more := unescape(have.bytes[i:])
		switch {
		case more && !end:
			l.waiting = len(have.bytes) - i
			i = len(have.bytes)
		case one.length == 0 && l.open:
			i += t.passOn(e, level, w, fresh, i, i+1)
		case one.length == 0:
			i++
		case !l.open && one.same && !exact && !begins(one.text[0]): // nothing changes by it
			i += one.length
		default:
			if !l.open {
				fresh = t.enter(level, w, i)
			}
			l.far, l.until = 0, lookEvery
			t.undone(level, w, i, one)
			i += one.length
		}
	}
	if l.open {
		t.above(e, level, w, fresh, end)
	}
}

// resume puts before what comes on the next level what was there last.
func (t *Stream) resume(level int, w *work) (fresh int) {
	if !t.layers[level].open {
		return 0
	}
	next, was := &w.texts[level+1], &t.layers[level+1].context
	next.bytes = append(next.bytes[:0], was.bytes...)
	next.origins = append(next.origins[:0], was.origins...)
	return len(next.bytes)
}

// enter opens the next level at byte i, with what is before it.
func (t *Stream) enter(level int, w *work, i int) (fresh int) {
	have, next := &w.texts[level], &w.texts[level+1]
	from, n := i, 0
	for from > max(0, i-t.s.span) && n < t.s.keyed.deepest {
		from--
		n += int(kept[have.bytes[from]] >> 7)
	}
	next.bytes, next.origins = next.bytes[:0], next.origins[:0]
	next.copy(have, from, i)
	l, short := &t.layers[level+1], &w.squeezed[level+1]
	short.bytes = short.bytes[:0]
	short.add(next.bytes, 0)
	*l = layer{context: l.context, squeezed: append(l.squeezed[:0], lastOf(short.bytes, maxForm)...)}
	// The first window that is looked at ends with the first byte that is new.
	l.short.count, l.exact.count = skip-1, skip-1
	t.layers[level].open = true
	return len(next.bytes)
}

// copy appends bytes of another text.
func (t *text) copy(of *text, from, to int) {
	t.bytes = append(t.bytes, of.bytes[from:to]...)
	if of.origins != nil {
		t.origins = append(t.origins, of.origins[from:to]...)
		return
	}
	n := len(t.origins)
	t.origins = slices.Grow(t.origins, to-from)[:n+to-from]
	o := originOf(of.begin(from), of.end(from))
	for i := range t.origins[n:] {
		t.origins[n+i] = o
		o += 1 << originBegin
	}
}

// undone puts what an escape at byte i stands for on the next level.
func (t *Stream) undone(level int, w *work, i int, one escaped) {
	have, next := &w.texts[level], &w.texts[level+1]
	o := originOf(have.begin(i), have.end(i+one.length-1)) | origin(level+1)
	if one.same {
		o |= originSame
	}
	for _, c := range one.text[:one.n] {
		next.bytes, next.origins = append(next.bytes, c), append(next.origins, o)
	}
}

// lookEvery is after how many bytes it is looked at whether the next level must
// see more. To enter it anew costs as much as some that it need not see.
const lookEvery = 128

// passOn puts bytes from i on on the next level as they are, and returns how
// many. When no form can reach back to an escape the level is closed: it looks
// at what it was given, from fresh on, and sees no more.
func (t *Stream) passOn(e *epoch, level int, w *work, fresh, i, to int) int {
	l, next := &t.layers[level], &w.texts[level+1]
	n := min(to-i, l.until-l.far)
	next.copy(&w.texts[level], i, i+n)
	if l.far += n; l.far < l.until {
		return n
	}
	l.until += lookEvery
	far := 0
	for _, c := range lastOf(next.bytes, l.far) {
		far += int(kept[c] >> 7)
	}
	if far >= maxForm+maxEscape || l.far >= t.s.span {
		l.open = false
		t.feed(e, level+1, w, fresh, false)
	}
	return n
}

// above has the next level look at what it was given, and keep the end of it.
func (t *Stream) above(e *epoch, level int, w *work, fresh int, end bool) {
	next, keep := &w.texts[level+1], &t.layers[level+1].context
	t.feed(e, level+1, w, fresh, end)
	keep.bytes = append(keep.bytes[:0], lastOf(next.bytes, t.s.span)...)
	keep.origins = append(keep.origins[:0], lastOf(next.origins, t.s.span)...)
}

// lastOf is the end of s, n at most.
func lastOf[T any](s []T, n int) []T { return s[max(0, len(s)-n):] }
