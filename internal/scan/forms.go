package scan

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// Encoding names how a value was written where it was found.
type Encoding string

// Encodings. Whatever is no letter, digit, + - / or _ may stand between the
// characters of each, and letters may be in either case.
const (
	// Text is the value as it is, in UTF-16 too, any of its characters escaped
	// as in URLs, JSON, HTML or program text, twice at most.
	Text     Encoding = "text"
	Base64   Encoding = "base64" // either alphabet, at any of three offsets
	Base32   Encoding = "base32" // at any of five offsets
	Hex      Encoding = "hex"
	Reversed Encoding = "reversed"
	// Twice is one of these within another.
	Twice Encoding = "two encodings"
)

// A long value is looked for by pieces, so that most of it is found too: of a
// random value up to 190 bytes long, any 31 bytes that follow each other, and
// 39 in two encodings or in base32.
const (
	wholeBytes = 24 // a value up to this long is looked for as a whole
	pieceBytes = 19
	pieceStep  = 12
	largePiece = 24
	maxPieces  = 16
)

// large are encodings of which a small window would be a few bytes of a value.
var large = map[Encoding]bool{Hex: true, Base32: true, Twice: true}

// formsOf are all forms in which v is looked for.
func formsOf(index int, v Value) []form {
	b := builder{value: int32(index)}
	for _, one := range pieces(v.Bytes, pieceBytes) {
		piece := one.text
		b.text(one)
		if v.Kind != Placeholder {
			b.add(Reversed, backwards(piece))
			b.add(Base64, inBase64(piece)...)
			b.add(Hex, inHex(piece))
		}
	}
	if v.Kind == Placeholder {
		return b.all
	}
	for _, one := range pieces(v.Bytes, largePiece) {
		piece := one.text
		b.add(Base32, inBase32(piece)...)
		for _, inner := range inner(piece) {
			b.add(Twice, inBase64(inner)...)
		}
		for _, inner := range inBase64(piece) {
			b.add(Twice, inHex(inner), inHex(otherAlphabet(inner)))
		}
	}
	return b.all
}

// inner are forms that are looked for within base64.
func inner(piece []byte) [][]byte {
	lower := inHex(piece)
	all := [][]byte{lower, bytes.ToUpper(lower), wide(piece)}
	for _, digits := range inBase64(piece) {
		all = append(all, digits, otherAlphabet(digits))
	}
	all = append(all, []byte(url.QueryEscape(string(piece))))
	if text, err := json.Marshal(string(piece)); err == nil {
		all = append(all, bytes.Trim(text, `"`))
	}
	return slices.DeleteFunc(all, func(form []byte) bool { return bytes.Equal(form, piece) })
}

// piece is a part of a value, and where in it that is.
type piece struct {
	text []byte
	at   int
}

// pieces cuts a value into those that are looked for, its two ends among
// them. A value with a structure, a key file or JSON, has pieces that everybody
// writes; those without a digit and a letter, or with white space or a quote,
// are left out as long as any other is there.
func pieces(value []byte, size int) []piece {
	if len(value) <= wholeBytes {
		return []piece{{value, 0}}
	}
	last := len(value) - size
	n := min(maxPieces, (last+pieceStep-1)/pieceStep+1)
	var all, own []piece
	for i := range n {
		at := last * i / (n - 1)
		one := piece{value[at : at+size], at}
		all = append(all, one)
		if has := bytes.ContainsAny; has(one.text, digit) && has(one.text, lower+upper) && !has(one.text, " \t\r\n\"") {
			own = append(own, one)
		}
	}
	if len(own) > 0 {
		return own
	}
	return all
}

// builder collects the forms of a value.
type builder struct {
	value int32
	all   []form
}

// text adds a piece as it is, and as what it is taken for by a reader who
// undoes escapes and is given one that holds some itself.
func (b *builder) text(one piece) {
	text := one.text
	b.add(Text, text)
	asIs := &b.all[len(b.all)-1]
	asIs.at = one.at
	for i := 0; asIs.squeezed && kept[text[i]] == 0; i++ {
		asIs.at++
	}
	for range 1 + levels {
		b.add(Text, text, bytes.ReplaceAll(text, []byte(" "), []byte("+")))
		if !formOf(text).squeezed {
			b.add(Text, wide(text))
		}
		plain := unescaped(text)
		if bytes.Equal(plain, text) {
			return
		}
		text = plain
	}
}

// add adds ways to write one piece.
func (b *builder) add(e Encoding, ways ...[]byte) {
	for _, way := range ways {
		f := formOf(way)
		if len(f.text) < MinValue {
			continue
		}
		f.before = max(0, len(f.text)-maxForm)
		f.text, f.value, f.encoding, f.at = f.text[f.before:], b.value, e, -1
		b.all = append(b.all, f)
	}
}

func backwards(piece []byte) []byte {
	back := bytes.Clone(piece)
	slices.Reverse(back)
	return back
}

func inHex(piece []byte) []byte { return hex.AppendEncode(nil, piece) }

const base32Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // RFC 4648, 6

// inBase64 are the characters of base64 (RFC 4648, 4) that piece alone decides,
// by how many bytes it stands behind a group's beginning.
func inBase64(piece []byte) [][]byte {
	const letters = upper + lower + digit + "+/"
	return atOffsets(piece, 3, 6, letters)
}

// otherAlphabet is base64 for URLs (RFC 4648, 5).
func otherAlphabet(text []byte) []byte {
	return []byte(strings.NewReplacer("+", "-", "/", "_").Replace(string(text)))
}

func inBase32(piece []byte) [][]byte { return atOffsets(piece, 5, 5, base32Letters) }

// atOffsets are those digits of piece, at each offset within a group.
func atOffsets(piece []byte, offsets, width int, letters string) [][]byte {
	var all [][]byte
	for offset := range offsets {
		text := digits(piece, offset, width)
		for i, v := range text {
			text[i] = letters[v]
		}
		all = append(all, text)
	}
	return all
}

// digits cuts piece, which begins offset bytes into a group, into numbers of
// width bits, without those that hold a bit of its neighbours.
func digits(piece []byte, offset, width int) []byte {
	begin, end := 8*offset, 8*(offset+len(piece))
	bit := func(at int) byte { return piece[at/8-offset] >> (7 - at%8) & 1 }
	var all []byte
	for at := (begin + width - 1) / width * width; at+width <= end; at += width {
		var v byte
		for i := range width {
			v = v<<1 | bit(at+i)
		}
		all = append(all, v)
	}
	return all
}

// wide is piece as UTF-16, without the NUL at either end, so that one form
// does for both byte orders. Only ASCII is like that; the rest is taken byte
// by byte, which nothing writes and no harm is done by.
func wide(piece []byte) []byte {
	out := make([]byte, 0, 2*len(piece))
	for i, b := range piece {
		if i > 0 {
			out = append(out, 0)
		}
		out = append(out, b)
	}
	return out
}
