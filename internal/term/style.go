package term

import "io"

// Style colours text for one stream. The zero value does nothing.
type Style struct{ coloured bool }

// StyleOf is the style for out: plain unless out is a terminal, NO_COLOR is
// unset or empty (no-color.org) and TERM is not "dumb".
func StyleOf(out io.Writer, getenv func(string) string) Style {
	return Style{IsTerminal(out) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

// Bold, Dim, Red, Green and Yellow return text, which must be escaped, in a
// weight or colour.
func (s Style) Bold(text string) string { return s.wrap("1", text) }

// Dim is for what is less important.
func (s Style) Dim(text string) string { return s.wrap("2", text) }

// Red is for failures and refusals.
func (s Style) Red(text string) string { return s.wrap("31", text) }

// Green is for what is well.
func (s Style) Green(text string) string { return s.wrap("32", text) }

// Yellow is for warnings.
func (s Style) Yellow(text string) string { return s.wrap("33", text) }

func (s Style) wrap(code, text string) string {
	if !s.coloured || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[m"
}
