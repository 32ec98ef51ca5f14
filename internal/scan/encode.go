package scan

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// Encoding names how a value was written where it was found.
type Encoding string

// Encodings. A line break may stand between the characters of base64 and hex,
// as the tools that write them put it there.
const (
	// Text is the value as it is, any of its characters escaped as in URLs
	// (once or twice), JSON, or program text.
	Text     Encoding = "text"
	Base64   Encoding = "base64" // either alphabet, at any of three offsets
	Base32   Encoding = "base32" // either case, at any of five offsets
	Hex      Encoding = "hex"    // either case
	Reversed Encoding = "reversed"
	UTF16    Encoding = "utf-16" // either byte order
)

// A long value is looked for by pieces, so that most of it is found too: of a
// random value up to 190 bytes long, any 31 bytes that follow each other.
const (
	wholeUnits = 24 // a value up to this long is looked for as a whole
	pieceUnits = 16
	maxPieces  = 12
)

// addValue adds every encoding of v to g.
func addValue(g *graph, index int, v Value) {
	for _, piece := range pieces(v.Bytes) {
		add := func(e Encoding, units []unit, breaks between, every int) {
			g.chain(units, breaks, every, accept{index: int32(index), encoding: e})
		}
		add(Text, textUnits(piece), nil, 0)
		if v.Kind == Placeholder || v.Plain {
			continue
		}
		for offset := range 3 {
			add(Base64, base64Units(piece, offset), between{"\n", "\r\n", `\n`}, 1)
		}
		for offset := range 5 {
			add(Base32, base32Units(piece, offset), nil, 0)
		}
		add(Hex, hexUnits(piece), between{"\n", "\r\n", " ", ":"}, 2)
		back := slices.Clone(piece)
		slices.Reverse(back)
		add(Reversed, rawUnits(back), nil, 0)
		add(UTF16, rawUnits(wide(piece)), nil, 0)
		clear(back)
	}
}

// pieces cuts a value into those that are looked for, its two ends among
// them. A value with a structure, a key file or JSON, has pieces that everybody
// writes; those without a digit and a letter, or with white space or a quote,
// are left out as long as any other is there.
func pieces(value []byte) [][]byte {
	if len(value) <= wholeUnits {
		return [][]byte{value}
	}
	last := len(value) - pieceUnits
	n := min(maxPieces, (last+pieceUnits-1)/pieceUnits+1)
	var all, own [][]byte
	for i := range n {
		at := last * i / (n - 1)
		piece := value[at : at+pieceUnits]
		all = append(all, piece)
		if bytes.ContainsAny(piece, digit) && bytes.ContainsAny(piece, lower+upper) && !bytes.ContainsAny(piece, " \t\r\n\"") {
			own = append(own, piece)
		}
	}
	if len(own) > 0 {
		return own
	}
	return all
}

func rawUnits(piece []byte) []unit {
	units := make([]unit, len(piece))
	for i := range piece {
		units[i] = unit{string(piece[i : i+1])}
	}
	return units
}

// textUnits are a value's characters, each as it is or escaped.
func textUnits(piece []byte) []unit {
	var units []unit
	for len(piece) > 0 {
		r, n := utf8.DecodeRune(piece)
		u := unit{string(piece[:n])}
		percent, twice, program := unit{""}, unit{""}, unit{""}
		for _, b := range piece[:n] {
			digits := hexDigits(b)
			percent = product(percent, "%", digits)
			twice = product(twice, "%25", digits)
			program = product(program, `\x`, digits)
		}
		u = append(append(append(u, percent...), twice...), program...)
		if r != utf8.RuneError {
			u = append(u, jsonEscapes(r)...)
		}
		units = append(units, u)
		piece = piece[n:]
	}
	return units
}

// jsonEscapes are the ways in which RFC 8259, 7, escapes a character, and the
// plus for a space of application/x-www-form-urlencoded.
func jsonEscapes(r rune) unit {
	escapes := unit{""}
	codes := []uint16{uint16(r)}
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		codes = []uint16{uint16(high), uint16(low)}
	}
	for _, code := range codes {
		digits := unit{""}
		for _, b := range []byte{byte(code >> 8), byte(code)} {
			digits = product(digits, "", hexDigits(b))
		}
		escapes = product(escapes, `\u`, digits)
	}
	switch r {
	case '"', '\\', '/':
		escapes = append(escapes, `\`+string(r))
	case '\n':
		escapes = append(escapes, `\n`)
	case '\r':
		escapes = append(escapes, `\r`)
	case '\t':
		escapes = append(escapes, `\t`)
	case ' ':
		escapes = append(escapes, "+")
	}
	return escapes
}

// hexDigits are the ways to write b in two digits, each in either case.
func hexDigits(b byte) unit {
	digits := hex.EncodeToString([]byte{b})
	return product(product(unit{""}, "", bothCases(digits[0])), "", bothCases(digits[1]))
}

// product is every of heads, then middle, then every of ends.
func product(heads unit, middle string, ends unit) unit {
	all := make(unit, 0, len(heads)*len(ends))
	for _, head := range heads {
		for _, end := range ends {
			all = append(all, head+middle+end)
		}
	}
	return all
}

func hexUnits(piece []byte) []unit {
	var units []unit
	for _, c := range []byte(hex.EncodeToString(piece)) {
		units = append(units, bothCases(c))
	}
	return units
}

const (
	base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	base32Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // RFC 4648, 6
)

// base64Units are the characters of base64 (RFC 4648, 4 and 5) that piece
// alone decides when it stands offset bytes behind a group's beginning. The
// two characters in which the alphabets differ may be escaped.
func base64Units(piece []byte, offset int) []unit {
	var units []unit
	for _, v := range digits(piece, offset, 6) {
		switch v {
		case 62:
			units = append(units, unit{"+", "-", "%2B", "%2b", `\u002B`, `\u002b`})
		case 63:
			units = append(units, unit{"/", "_", "%2F", "%2f", `\/`, `\u002F`, `\u002f`})
		default:
			units = append(units, unit{base64Letters[v : v+1]})
		}
	}
	return units
}

func base32Units(piece []byte, offset int) []unit {
	var units []unit
	for _, v := range digits(piece, offset, 5) {
		units = append(units, bothCases(base32Letters[v]))
	}
	return units
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

func (f Finding) String() string {
	if f.Encoding == "" {
		return fmt.Sprintf("%s %s at byte %d", f.Kind, f.Name, f.Offset)
	}
	return fmt.Sprintf("%s %s (%s) at byte %d", f.Kind, f.Name, f.Encoding, f.Offset)
}
