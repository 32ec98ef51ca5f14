package doctor

import (
	"regexp"
	"strings"
	"sync"
)

// What several checks lead to: files that a person edits, each with what it
// takes to be heard. What to put there is in a check's notes.
const (
	editDaemon      = "sudoedit /etc/docker/daemon.json && sudo systemctl restart docker"
	editCommandLine = "sudoedit /etc/default/grub && sudo update-grub"
	onCommandLine   = "GRUB_CMDLINE_LINUX, heard at the next boot, gets "
)

var (
	command = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("`([^`]+)`") })
	plain   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`) })
)

// commandIn is the first command in a hint; empty when there is none.
func commandIn(hint string) string {
	if found := command().FindStringSubmatch(hint); found != nil {
		return found[1]
	}
	return ""
}

// notes are those of a hint, if there is one, without a command in parentheses,
// which is what mends it.
func notes(hint string) []string {
	if hint == "" {
		return nil
	}
	if found := command().FindStringIndex(hint); found != nil {
		before, opened := strings.CutSuffix(hint[:found[0]], " (")
		after, closed := strings.CutPrefix(hint[found[1]:], ")")
		if opened && closed {
			hint = before + after
		}
	}
	return []string{hint}
}

// quoted is one word of a shell's. Names and paths of a manifest are whoever's
// wrote it: pasted, they must stay words.
func quoted(word string) string {
	if plain().MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
