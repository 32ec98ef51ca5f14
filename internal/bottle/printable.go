package bottle

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// printable is s as one harmless line: what a terminal would act on or hide
// (control bytes, line breaks, bidirectional overrides, bytes that are not
// UTF-8) is written as an escape. The texts come from manifests and file
// names, which others write.
func printable(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case strconv.IsGraphic(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}

// shortened is printable and at most limit characters, its end an ellipsis
// when something was cut.
func shortened(s string, limit int) string {
	runes := []rune(printable(s))
	if len(runes) <= limit {
		return string(runes)
	}
	return string(runes[:limit-1]) + "…"
}
