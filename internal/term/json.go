package term

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON writes a value on lines of its own, indented unless indent is empty,
// for programs and for people at a terminal alike: what Escape escapes in text
// is an escape of JSON here, so that the value is the same and nothing acts on
// the terminal. encoding/json leaves C1 controls and direction overrides as
// they are (CWE-150).
func JSON(w io.Writer, value any, indent string) error {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := w.Write(printableJSON(encoded.Bytes()))
	return err
}

// printableJSON escapes runes that are not ASCII and cannot be printed. They
// are in strings alone.
func printableJSON(encoded []byte) []byte {
	safe := make([]byte, 0, len(encoded))
	for len(encoded) > 0 {
		r, size := utf8.DecodeRune(encoded)
		switch {
		case r == 0x7f, r >= utf8.RuneSelf && r < 0x10000 && !strconv.IsPrint(r):
			safe = fmt.Appendf(safe, `\u%04x`, r)
		case r >= utf8.RuneSelf && !strconv.IsPrint(r):
			high, low := utf16.EncodeRune(r)
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, high, low)
		default:
			safe = append(safe, encoded[:size]...)
		}
		encoded = encoded[size:]
	}
	return safe
}
