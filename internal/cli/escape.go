package cli

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// escape is s as one line that a terminal only shows: whatever it would obey
// or hide (control bytes, line breaks, bidirectional marks, what is not UTF-8)
// is written out. Names come from manifests, hosts and messages from bottles.
func escape(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !strconv.IsGraphic(r) || r == utf8.RuneError }) < 0 {
		return s
	}
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
