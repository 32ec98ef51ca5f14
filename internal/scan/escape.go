package scan

import (
	"bytes"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxEscape is the longest escape, of a character beyond the sixteen bits of
// JSON's: \ud83d\ude00.
const maxEscape = 12

// escaped is what an escape stands for.
type escaped struct {
	text   [utf8.UTFMax]byte
	n      int  // of text
	length int  // of the escape; 0 where none begins
	same   bool // what is kept of text is what is kept of the escape
}

// unescape reads the escape that p begins with, of URLs (RFC 3986, 2.1), JSON
// (RFC 8259, 7), HTML's character references, or program text. more says that
// it takes more bytes to tell.
func unescape(p []byte) (e escaped, more bool) {
	if len(p) < 2 {
		return e, true
	}
	switch {
	case p[0] == '%':
		return hexEscape(p, 1, 2)
	case p[0] == '&':
		return reference(p)
	case p[1] == 'x':
		return hexEscape(p, 2, 2)
	case p[1] == 'u':
		return unicodeEscape(p)
	}
	if to := short[p[1]]; to != 0 {
		return escaped{text: [4]byte{to}, n: 1, length: 2, same: to == p[1]}, false
	}
	return e, false
}

// short are what a byte behind a backslash stands for.
var short = [256]byte{
	'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f', 'v': '\v', '"': '"', '\'': '\'', '/': '/', '\\': '\\',
}

// hexEscape reads width digits behind a head of that length, as a byte.
func hexEscape(p []byte, head, width int) (e escaped, more bool) {
	v, more := hexNumber(p[head:], width)
	if v < 0 {
		return e, more
	}
	return escaped{text: [4]byte{byte(v)}, n: 1, length: head + width}, false
}

// hexNumber reads so many digits; -1 where they are none, or too few yet.
func hexNumber(p []byte, width int) (v rune, more bool) {
	for i := range width {
		if i == len(p) {
			return -1, true
		}
		d := digitOf[p[i]]
		if d < 0 {
			return -1, false
		}
		v = v<<4 | rune(d)
	}
	return v, false
}

var digitOf = func() (table [256]int8) {
	for i := range table {
		table[i] = int8(bytes.IndexByte([]byte("0123456789abcdef"), lowered(byte(i))))
	}
	return table
}()

func lowered(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b | 0x20
	}
	return b
}

func unicodeEscape(p []byte) (e escaped, more bool) {
	const length = len(`\u0041`)
	r, more := hexNumber(p[2:], 4)
	if r < 0 {
		return e, more
	}
	e.length = length
	if utf16.IsSurrogate(r) {
		rest := p[length:]
		if head := []byte(`\u`); !bytes.HasPrefix(rest, head) {
			return escaped{}, len(rest) < len(head) && bytes.HasPrefix(head, rest)
		}
		low, more := hexNumber(rest[2:], 4)
		if r = utf16.DecodeRune(r, low); low < 0 || r == utf8.RuneError {
			return escaped{}, more
		}
		e.length = 2 * length
	}
	e.n = utf8.EncodeRune(e.text[:], r)
	return e, false
}

// references are those that have a name, of what HTML and XML must escape.
var references = map[string]byte{"amp": '&', "lt": '<', "gt": '>', "quot": '"', "apos": '\''}

// reference reads one of HTML: &amp; &#65; &#x41;
func reference(p []byte) (e escaped, more bool) {
	end := bytes.IndexByte(p[:min(len(p), maxEscape)], ';')
	if end < 0 {
		return e, len(p) < maxEscape && referable(p[1:])
	}
	name := string(p[1:end])
	if to, ok := references[name]; ok {
		return escaped{text: [4]byte{to}, n: 1, length: end + 1}, false
	}
	if len(name) < 2 || name[0] != '#' {
		return e, false
	}
	number, base := name[1:], 10
	if number[0]|0x20 == 'x' {
		number, base = number[1:], 16
	}
	v, err := strconv.ParseUint(number, base, 32)
	if err != nil || v > utf8.MaxRune {
		return e, false
	}
	e.length, e.n = end+1, utf8.EncodeRune(e.text[:], rune(v))
	return e, false
}

// referable says whether a reference may begin so.
func referable(p []byte) bool {
	for _, c := range p {
		if c != '#' && !isWord(c) {
			return false
		}
	}
	return true
}

// unescaped is text without its escapes.
func unescaped(text []byte) []byte {
	var out []byte
	for len(text) > 0 {
		e, _ := unescape(text)
		if e.length == 0 || !begins(text[0]) {
			out, text = append(out, text[0]), text[1:]
			continue
		}
		out, text = append(out, e.text[:e.n]...), text[e.length:]
	}
	return out
}

// begins says whether an escape may begin with b.
func begins(b byte) bool { return b == '%' || b == '\\' || b == '&' }

// nextEscape is where the first byte at or after from is with which one may
// begin, or the end of p.
func nextEscape(p []byte, from int) int {
	i := from
	for ; i+8 <= len(p); i += 8 {
		w := word64(p[i:])
		if any := zeros(w^'%'*eachByte) | zeros(w^'\\'*eachByte) | zeros(w^'&'*eachByte); any != 0 {
			return i + bits.TrailingZeros64(any)/8
		}
	}
	for ; i < len(p); i++ {
		if begins(p[i]) {
			return i
		}
	}
	return len(p)
}

const eachByte = 0x0101010101010101

// zeros has the highest bit of each byte of w set that is 0, as far as the first
// one; behind that some may be set that are not.
func zeros(w uint64) uint64 { return (w - eachByte) &^ w & (0x80 * eachByte) }
