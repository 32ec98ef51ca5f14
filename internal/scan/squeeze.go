package scan

import (
	"math/bits"
	"unicode/utf8"
)

// kept is what a byte is for a lane that squeezes: with the highest bit set
// what it counts as, or 0 where it is left out. Letters count in either case,
// and the two alphabets of base64 as one. Everything else is left out, so that
// whatever an encoder or a person puts between the characters of a value does
// not hide it: line breaks, colons, quotes, the NULs of UTF-16.
var kept = func() (table [256]byte) {
	for _, c := range []byte(lower + digit + "+/") {
		table[c] = c | keptBit
	}
	for _, c := range []byte(upper) {
		table[c] = c | 0x20 | keptBit
	}
	table['-'], table['_'] = '+'|keptBit, '/'|keptBit
	return table
}()

const keptBit = 0x80

// squeeze appends what is kept of p.
func squeeze(to, p []byte) []byte {
	n := len(to)
	to = append(to, p...) // room for all
	out := to[n:]
	k := 0
	for _, c := range p {
		v := kept[c]
		out[k] = v
		k += int(v >> 7)
	}
	return to[:n+k]
}

// squeezed is text of which what is kept was put together, run by run.
type squeezed struct {
	bytes []byte
	runs  []run
}

// run is text[from:end], which is squeezed to what is from out on.
type run struct{ out, from, end int }

// add appends what is kept of p[from:]. No form goes over a byte that is not
// ASCII: there a byte stands that is in none, and runs between two such that
// are shorter than any value are left out. Of what is compressed, encrypted or
// an image, nearly nothing is left.
func (s *squeezed) add(p []byte, from int) {
	s.runs = s.runs[:0]
	for at := from; at < len(p); {
		end := highByte(p, at)
		if end-at >= MinValue || at == from || end == len(p) {
			s.runs = append(s.runs, run{len(s.bytes), at, end})
			s.bytes = squeeze(s.bytes, p[at:end])
		}
		if end < len(p) {
			s.bytes = append(s.bytes, 0)
			end = nextRun(p, end)
		}
		at = end
	}
}

// end is the index in the text behind the byte that is squeezed to s.bytes[i-1].
func (s *squeezed) end(p []byte, i int) int {
	last := len(s.runs) - 1
	for s.runs[last].out >= i {
		last--
	}
	n := i - s.runs[last].out
	for at := s.runs[last].from; ; at++ {
		if n -= int(kept[p[at]] >> 7); n == 0 {
			return at + 1
		}
	}
}

// nextEscape is where in p the next escape may begin that is in a run, at or
// after i. What is new begins at done.
func (s *squeezed) nextEscape(p []byte, i, done int) int {
	if i < done {
		if at := nextEscape(p[:done], i); at < done {
			return at
		}
	}
	for _, r := range s.runs {
		if r.end > i {
			if at := nextEscape(p[:r.end], max(i, r.from)); at < r.end {
				return at
			}
		}
	}
	return len(p)
}

const highBits = 0x80 * eachByte

// highByte is where the first byte at or after from is that is not ASCII.
func highByte(p []byte, from int) int {
	i := from
	for ; i+8 <= len(p); i += 8 {
		if high := word64(p[i:]) & highBits; high != 0 {
			return i + bits.TrailingZeros64(high)/8
		}
	}
	for i < len(p) && p[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// nextRun is where the next run of ASCII begins behind p[from], which is none:
// one that is as long as a value, or at the end.
func nextRun(p []byte, from int) int {
	const half = highBits >> 32
	for i := from; i+8 <= len(p); i += 8 {
		w := word64(p[i:])
		if w&half != 0 && w>>32&half != 0 {
			continue
		}
		begin := i + 4
		if w&half == 0 {
			begin = i
		}
		for p[begin-1] < utf8.RuneSelf {
			begin--
		}
		if end := highByte(p[:min(len(p), begin+MinValue)], begin); end == len(p) || end-begin >= MinValue {
			return begin
		}
	}
	begin := len(p)
	for p[begin-1] < utf8.RuneSelf {
		begin--
	}
	return begin
}

// fold makes letters of one case, in place, for a lane that does not squeeze.
// Other bytes are changed as well, all in the same way.
func fold(p []byte) []byte {
	for i := range p {
		p[i] |= 0x20
	}
	return p
}

// formOf squeezes what is ASCII and hardly less then, and folds the rest.
func formOf(text []byte) form {
	short := squeeze(nil, text)
	if highByte(text, 0) == len(text) && len(short) >= MinValue && 4*len(short) >= 3*len(text) {
		return form{text: short, squeezed: true}
	}
	return form{text: fold(append([]byte(nil), text...))}
}
