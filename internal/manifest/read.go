package manifest

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// reader turns one file into nodes and collects what is wrong with it.
type reader struct {
	file     *Source
	data     []byte
	problems []Problem
	nodes    int
}

// parse reads file as JSON or YAML. The node is nil when the text cannot be
// read to its end; an empty YAML file is an empty object.
func parse(file *Source, yaml bool) (*node, []Problem) {
	// A byte order mark is no part of the text (RFC 8259, 8.1).
	r := &reader{file: file, data: bytes.TrimPrefix(file.data, []byte("\ufeff"))}
	if offset, why := invalidText(r.data); why != "" {
		r.problem(r.place(offset), "%s", why)
		return nil, r.problems
	}
	var root *node
	if yaml {
		root = r.yaml()
	} else {
		root = r.json()
	}
	return root, r.problems
}

// invalidText finds the first byte that is no UTF-8, or a control character
// that neither format allows outside an escape.
func invalidText(data []byte) (offset int, why string) {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return i, "the file is not UTF-8"
		case r < ' ' && r != '\t' && r != '\n' && r != '\r':
			return i, fmt.Sprintf("the file holds the control character %U", r)
		}
		i += size
	}
	return 0, ""
}

type place struct{ line, column int }

// place counts lines and characters up to offset. It is used for errors only.
func (r *reader) place(offset int) place {
	before := r.data[:min(max(offset, 0), len(r.data))]
	line := 1 + bytes.Count(before, []byte("\n"))
	return place{line, 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])}
}

func (r *reader) problem(at place, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		At:      Position{File: r.file.Path, Line: at.line, Column: at.column, Origin: r.file.Origin},
		Message: fmt.Sprintf(format, args...),
	})
}

// node makes a node, or none when the file has too many or they are too deep.
func (r *reader) node(kind kind, at place, depth int) (*node, bool) {
	r.nodes++
	switch {
	case r.nodes > maxNodes:
		r.problem(at, "too much for a manifest: more than %d values", maxNodes)
		return nil, false
	case depth > maxDepth:
		r.problem(at, "too much for a manifest: nested more than %d deep", maxDepth)
		return nil, false
	}
	return &node{kind: kind, file: r.file, line: at.line, column: at.column}, true
}

// add puts an entry in an object and refuses a key that is there already,
// which programs read in different ways.
func (r *reader) add(seen map[string]*node, n *node, key, value *node) {
	if first, twice := seen[key.text]; twice {
		r.problem(place{key.line, key.column}, "duplicate key %s, first at line %d", quote(key.text), first.line)
		return
	}
	seen[key.text] = key
	n.entries = append(n.entries, entry{key, value})
}
