package manifest

import "strings"

// kind is what a node is, in the words of JSON.
type kind string

const (
	object  kind = "object"
	list    kind = "list"
	text    kind = "string"
	number  kind = "number"
	boolean kind = "boolean"
	null    kind = "null"
)

// Bounds of one file. They are far above any manifest that a person wrote, and
// low enough that a hostile one costs milliseconds.
const (
	maxFile  = 1 << 20 // bytes
	maxDepth = 64
	maxNodes = 50_000 // after the aliases of YAML are expanded
)

// node is a value of a JSON or YAML file. Aliased text of YAML shares nodes,
// so a node is never changed once it is read.
type node struct {
	kind    kind
	file    *Source
	line    int
	column  int
	text    string         // of a string; the digits of a number
	entries []entry        // of an object, each key once
	items   []*node        // of a list
	index   map[string]int // of entries, for objects that are long
}

// entry is one key of an object. Its own node holds the key's place.
type entry struct {
	key   *node
	value *node
}

func (n *node) position() Position {
	return Position{File: n.file.Path, Line: n.line, Column: n.column, Origin: n.file.Origin}
}

// get follows keys; nil when one is missing or n is no object.
func (n *node) get(keys ...string) *node {
	for _, key := range keys {
		if n == nil {
			return nil
		}
		n = n.child(key)
	}
	return n
}

func (n *node) child(key string) *node {
	if n.index != nil {
		if i, ok := n.index[key]; ok {
			return n.entries[i].value
		}
		return nil
	}
	for _, entry := range n.entries {
		if entry.key.text == key {
			return entry.value
		}
	}
	return nil
}

// indexed is called once an object is whole. A search from the front is
// quicker for a few keys, and quadratic for many.
func (n *node) indexed() *node {
	if len(n.entries) < 16 {
		return n
	}
	n.index = make(map[string]int, len(n.entries))
	for i, entry := range n.entries {
		n.index[entry.key.text] = i
	}
	return n
}

// objects are the entries of n whose value is an object.
func (n *node) objects() []entry {
	if n == nil {
		return nil
	}
	var found []entry
	for _, entry := range n.entries {
		if entry.value.kind == object {
			found = append(found, entry)
		}
	}
	return found
}

// word is a string's text, and "" for everything else.
func (n *node) word() string {
	if n == nil || n.kind != text {
		return ""
	}
	return n.text
}

// words are the strings of a list.
func (n *node) words() []string {
	if n == nil {
		return nil
	}
	var words []string
	for _, item := range n.items {
		if item.kind == text {
			words = append(words, item.text)
		}
	}
	return words
}

// equal compares values, not places; the order of an object's keys has no
// meaning.
func equal(a, b *node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.kind != b.kind || a.text != b.text || len(a.items) != len(b.items) || len(a.entries) != len(b.entries) {
		return false
	}
	for i := range a.items {
		if !equal(a.items[i], b.items[i]) {
			return false
		}
	}
	for _, entry := range a.entries {
		if !equal(entry.value, b.child(entry.key.text)) {
			return false
		}
	}
	return true
}

// merge lays over on top of base: objects by key, all else replaced. Keys stay
// in base's order, with those that only over has behind them.
func merge(base, over *node) *node {
	switch {
	case base == nil:
		return over
	case over == nil:
		return base
	case base.kind != object || over.kind != object:
		return over
	}
	overlaid := make(map[string]entry, len(over.entries))
	for _, entry := range over.entries {
		overlaid[entry.key.text] = entry
	}
	merged := *over
	merged.entries, merged.index = nil, nil
	for _, below := range base.entries {
		above, both := overlaid[below.key.text]
		if !both {
			merged.entries = append(merged.entries, below)
			continue
		}
		merged.entries = append(merged.entries, entry{above.key, merge(below.value, above.value)})
		delete(overlaid, below.key.text)
	}
	for _, entry := range over.entries {
		if _, left := overlaid[entry.key.text]; left {
			merged.entries = append(merged.entries, entry)
		}
	}
	return merged.indexed()
}

// join writes keys as one dotted path, quoting what would not read as a word.
func join(path, key string) string {
	if key == "" || strings.ContainsAny(key, ". \"'") || plain(key) != key || len(key) > 64 {
		key = quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
