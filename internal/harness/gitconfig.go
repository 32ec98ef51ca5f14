package harness

import (
	"strings"

	"claude-bottle/internal/provision"
)

// gitHTTP has git speak HTTP/1.1. Before version 2.44, Debian 12's among them,
// a push of more than http.postBuffer (1 MB) may hang for good over HTTP/2:
// libcurl reads on behind the end of the body and git waits for more of it.
const gitHTTP = "[http]\n\tversion = HTTP/1.1\n"

// gitConfig is a .gitconfig that carries the person's name and mail and
// nothing else of the host's: helpers, hooks and signing keys stay there.
func gitConfig(s Setup) []provision.File {
	var b strings.Builder
	b.WriteString(gitHTTP)
	if s.GitName != "" || s.GitMail != "" {
		b.WriteString("[user]\n")
	}
	for _, entry := range []struct{ key, value string }{{"name", s.GitName}, {"email", s.GitMail}} {
		if entry.value != "" {
			b.WriteString("\t" + entry.key + " = " + gitQuote(entry.value) + "\n")
		}
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
