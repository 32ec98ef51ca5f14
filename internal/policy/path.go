package policy

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// What makes a path ambiguous. The texts are shown to the bottle and hold
// nothing of the path.
var (
	errPathRoot    = errors.New(`the path does not begin with "/"`)
	errPathEncoded = errors.New("the path has a slash, a backslash or a dot in encoded form")
	errPathDots    = errors.New("the path has a dot segment")
	errPathEmpty   = errors.New(`the path has an empty segment ("//")`)
	errPathParam   = errors.New("the path has a parameter (;)")
	errPathByte    = errors.New("the path has a byte that has no place in one")
	errPathPercent = errors.New("the path has a bad percent-encoding")
	errPathTwice   = errors.New("the path is percent-encoded twice")
	errPathText    = errors.New("the path is not UTF-8 once it is decoded")
)

// readPath takes a path as on the wire, without query, apart into decoded
// segments. An error means that servers read such a path in different ways,
// so that what a rule says of it is not what the origin does: encoded
// separators (CVE-2021-41773), dot segments, empty segments, path parameters
// (CVE-2020-11989), control bytes, overlong UTF-8 (CVE-2000-0884), a second
// round of decoding (CVE-2021-42013). FuzzPath holds what comes out of it.
func readPath(path string) ([]string, error) {
	if path == "" {
		path = "/"
	}
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, errPathRoot
	}
	segments := make([]string, 0, strings.Count(rest, "/")+1)
	for {
		raw, after, more := strings.Cut(rest, "/")
		if raw == "" && more {
			return nil, errPathEmpty
		}
		decoded, err := decodePath(raw)
		if err != nil {
			return nil, err
		}
		if decoded == "." || decoded == ".." {
			return nil, errPathDots
		}
		segments = append(segments, decoded)
		if !more {
			return segments, nil
		}
		rest = after
	}
}

// decodePath takes percent-encoding away, once.
func decodePath(raw string) (string, error) {
	decoded, encoded := make([]byte, 0, len(raw)), false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '%' {
			if err := plainByte(c); err != nil {
				return "", err
			}
			decoded = append(decoded, c)
			continue
		}
		if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
			return "", errPathPercent
		}
		c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
		if err := encodedByte(c); err != nil {
			return "", err
		}
		decoded, encoded = append(decoded, c), true
		i += 2
	}
	text := string(decoded)
	if !encoded {
		return text, nil
	}
	if !utf8.ValidString(text) {
		return "", errPathText
	}
	for i := 0; i+2 < len(text); i++ {
		if text[i] == '%' && isHex(text[i+1]) && isHex(text[i+2]) {
			return "", errPathTwice
		}
	}
	return text, lookalike(text)
}

func plainByte(c byte) error {
	switch {
	case c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '?':
		return errPathByte
	case c == ';':
		return errPathParam
	}
	return nil
}

func encodedByte(c byte) error {
	switch {
	case c == '/' || c == '\\' || c == '.':
		return errPathEncoded
	case c == ';':
		return errPathParam
	case c < ' ' || c == 0x7f:
		return errPathByte
	}
	return nil
}

// lookalike refuses characters that compatibility normalisation (NFKC, or the
// best fit of an old code page) turns into a separator, a dot, a semicolon or
// a percent sign.
func lookalike(text string) error {
	if strings.ContainsAny(text, "\u2024\u2025\u2026\u2044\u2215\u2216\u29f5\u29f8\u29f9\ufe52\ufe54\ufe68\ufe6a\uff05\uff0e\uff0f\uff1b\uff3c\u0085") {
		return errPathEncoded
	}
	return nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	default:
		return c - 'A' + 10
	}
}
