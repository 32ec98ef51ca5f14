package term

import "claude-bottle/internal/wire"

// Escape makes text printable on one line: control characters, characters
// that turn or hide the text around them and bytes that are not UTF-8 appear
// as Go writes them in a string. Everything in a list, a message or a diff
// that a bottle or a project could have chosen passes it (terminal injection
// by file names: CWE-150).
func Escape(text string) string { return wire.Printable(text) }
