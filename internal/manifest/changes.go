package manifest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// differ says, a line each, what the project's nodes do beside home's. It is
// read by a person who decides on trust: every entry of a list has its own
// line, so that none hides behind many, and what is cut short says so.
type differ struct {
	loader *loader
	lines  []string
}

func (l *loader) changes(home, project *node) []string {
	d := &differ{loader: l}
	for _, section := range []string{"bottles", "agents"} {
		if over := project.get(section); over != nil {
			d.walk(section, []string{section}, home.get(section), over)
		}
	}
	return d.lines
}

func (d *differ) walk(path string, keys []string, home, project *node) {
	switch {
	case project.kind == object && len(project.entries) > 0:
		if home != nil && home.kind != object {
			d.line("changes %s from %s", path, d.show(keys, home))
			home = nil
		}
		for _, e := range project.entries {
			d.walk(joined(path, keys, e.key.text), append(slices.Clone(keys), e.key.text), home.get(e.key.text), e.value)
		}
	case project.kind == object:
		if home == nil {
			d.line("adds %s", path)
		} else if home.kind != object {
			d.line("changes %s from %s to {}", path, d.show(keys, home))
		}
	case project.kind == list && !below(keys, "agents", "harness"):
		d.list(path, keys, home, project)
	case home == nil:
		d.line("adds %s: %s", path, d.show(keys, project))
	case d.same(keys, home, project):
	case below(keys, "bottles", "env"):
		// Home's literal may be something that is not for every screen.
		d.line("changes %s to %s", path, d.show(keys, project))
	default:
		d.line("changes %s from %s to %s", path, d.show(keys, home), d.show(keys, project))
	}
}

// list compares lists in which order has no meaning; the project's replaces
// home's.
func (d *differ) list(path string, keys []string, home, project *node) {
	ours, theirs := d.items(keys, home), d.items(keys, project)
	if home == nil && len(theirs) == 0 {
		d.line("adds %s, empty", path)
	}
	had, has := set(ours), set(theirs)
	for _, word := range distinct(theirs) {
		if !had[word] {
			d.line("adds to %s: %s", path, word)
		}
	}
	for _, word := range distinct(ours) {
		if !has[word] {
			d.line("removes from %s: %s", path, word)
		}
	}
}

// items are the entries of a list, each as it is shown.
func (d *differ) items(keys []string, n *node) []string {
	if n == nil || n.kind != list {
		return nil
	}
	var items []string
	for _, item := range n.items {
		items = append(items, d.show(keys, item))
	}
	return items
}

func (d *differ) same(keys []string, home, project *node) bool {
	if below(keys, "bottles", "egress", "ca") {
		return d.loader.samePath(home, project)
	}
	return equal(home, project)
}

func (d *differ) show(keys []string, n *node) string {
	switch n.kind {
	case text:
		return d.showText(keys, n)
	case list:
		var items []string
		for _, item := range n.items {
			items = append(items, d.show(keys, item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case object:
		var entries []string
		for _, e := range n.entries {
			entries = append(entries, shown(keys, e.key.text)+": "+d.show(append(slices.Clone(keys), e.key.text), e.value))
		}
		return "{" + strings.Join(entries, ", ") + "}"
	default:
		return n.text
	}
}

func (d *differ) showText(keys []string, n *node) string {
	switch {
	case below(keys, "bottles", "egress", "ca"):
		if path, err := d.loader.resolvePath(n); err == nil {
			return shown(keys, path)
		}
	case below(keys, "bottles", "egress", "proxy"):
		if u, err := url.Parse(n.text); err == nil {
			return shown(keys, u.Redacted())
		}
		return "(not valid)"
	}
	return shown(keys, n.text)
}

// below says whether keys lead to a field, or to something in it: the section,
// any name, then the field's own keys.
func below(keys []string, section string, field ...string) bool {
	return len(keys) >= 2+len(field) && keys[0] == section && slices.Equal(keys[2:2+len(field)], field)
}

func (d *differ) line(format string, args ...any) {
	d.lines = append(d.lines, plain(fmt.Sprintf(format, args...)))
}

// shown quotes text, with everything that does not print escaped; of bottles, whose
// hosts it may name, also what is beyond ASCII (TestLettersThatLookAlike).
func shown(keys []string, s string) string {
	const longest = 300
	quoted := strconv.Quote
	if keys[0] == "bottles" {
		quoted = strconv.QuoteToASCII
	}
	runes := []rune(s)
	if len(runes) <= longest {
		return quoted(s)
	}
	return fmt.Sprintf("%s… (%d characters in all)", quoted(string(runes[:longest])), len(runes))
}

// joined is join for a key below keys, which may be a host's name.
func joined(path string, keys []string, key string) string {
	if text := shown(keys, key); text != strconv.Quote(key) {
		return path + "." + text
	}
	return join(path, key)
}

func set(words []string) map[string]bool {
	members := make(map[string]bool, len(words))
	for _, word := range words {
		members[word] = true
	}
	return members
}
