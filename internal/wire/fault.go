package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// RemoteError is what a guest or gateway says that failed. The text is a
// bottle's: Error returns it printable and on one line.
type RemoteError struct{ Text string }

// Error is the text, see Printable.
func (e *RemoteError) Error() string { return Printable(e.Text) }

// remoteError reads an error frame.
func remoteError(f Frame) error { return &RemoteError{string(f.Payload)} }

// Printable writes every rune that is not a letter, mark, number, symbol,
// punctuation or space as an escape, so that a text from a bottle can do
// nothing to a terminal (control bytes, direction overrides).
func Printable(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1, !strconv.IsPrint(r):
			quoted := strconv.QuoteToASCII(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}
