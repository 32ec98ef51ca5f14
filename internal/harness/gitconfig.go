package harness

import (
	"strings"

	"claude-bottle/internal/provision"
)

// gitConfig is a .gitconfig that carries the person's name and mail and
// nothing else of the host's: helpers, hooks and signing keys stay there.
// Without either there is no file.
func gitConfig(s Setup) []provision.File {
	var b strings.Builder
	for _, entry := range []struct{ key, value string }{{"name", s.GitName}, {"email", s.GitMail}} {
		if entry.value == "" {
			continue
		}
		if b.Len() == 0 {
			b.WriteString("[user]\n")
		}
		b.WriteString("\t" + entry.key + " = " + gitQuote(entry.value) + "\n")
	}
	if b.Len() == 0 {
		return nil
	}
	return []provision.File{{Root: provision.Home, Path: ".gitconfig", Mode: 0o644, Data: []byte(b.String())}}
}

// gitQuote writes a value so that git reads it back as it is (git-config(1),
// "Syntax"): in quotes, with the four escapes that exist. Control bytes
// beyond those cannot be said in that file and are dropped.
func gitQuote(value string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range value {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
