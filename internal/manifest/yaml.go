package manifest

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// yaml reads the file's one document.
func (r *reader) yaml() *node {
	loader, err := yaml.NewLoader(bytes.NewReader(r.data))
	if err != nil {
		r.yamlSyntax(err)
		return nil
	}
	var document, second yaml.Node
	switch err := loader.Load(&document); {
	case errors.Is(err, io.EOF): // nothing, or comments only
		root, _ := r.node(object, place{1, 1}, 0)
		return root
	case err != nil:
		r.yamlSyntax(err)
		return nil
	}
	switch err := loader.Load(&second); {
	case err == nil:
		r.problem(place{second.Line, second.Column}, "a second document begins here; a manifest is one")
		return nil
	case !errors.Is(err, io.EOF):
		r.yamlSyntax(err)
		return nil
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		r.problem(place{1, 1}, "the file holds no document")
		return nil
	}
	y := &yamlReader{reader: r, open: map[*yaml.Node]bool{}}
	root, _ := y.value(document.Content[0], 0)
	return root
}

func (r *reader) yamlSyntax(err error) {
	at, message := place{1, 1}, err.Error()
	var all *yaml.LoadErrors
	if errors.As(err, &all) && len(all.Errors) > 0 {
		err = all.Errors[0]
	}
	var load *yaml.LoadError
	if errors.As(err, &load) {
		message = load.Message
		if load.ContextMsg != "" {
			message += " (" + load.ContextMsg + ")"
		}
		if load.Mark.Line > 0 {
			at = place{load.Mark.Line, max(load.Mark.Column, 1)}
		}
		if strings.Contains(message, "cannot start any token") {
			message += "; indent with spaces, and quote a value that begins with @, ` or %"
		}
	}
	r.problem(at, "%s", plain(message))
}

// yamlReader copies YAML's nodes into ours, aliases expanded: each node of an
// alias counts again, so the bound on nodes also bounds what aliases of
// aliases multiply to.
type yamlReader struct {
	*reader
	open map[*yaml.Node]bool // aliases being expanded, to find one inside itself
}

// YAML's own tags that a manifest may hold.
const (
	tagString    = "!!str"
	tagInteger   = "!!int"
	tagFloat     = "!!float"
	tagBoolean   = "!!bool"
	tagNull      = "!!null"
	tagTimestamp = "!!timestamp"
	tagMap       = "!!map"
	tagList      = "!!seq"
	tagMerge     = "!!merge"
)

func (y *yamlReader) value(from *yaml.Node, depth int) (*node, bool) {
	at := place{from.Line, from.Column}
	if from.Kind == yaml.AliasNode {
		target := from.Alias
		if target == nil || y.open[target] {
			y.problem(at, "the alias *%s is inside what it stands for", plain(from.Value))
			return nil, false
		}
		y.open[target] = true
		defer delete(y.open, target)
		return y.value(target, depth)
	}
	if from.Anchor != "" && !y.open[from] {
		y.open[from] = true
		defer delete(y.open, from)
	}
	switch from.Kind {
	case yaml.MappingNode:
		return y.object(from, at, depth)
	case yaml.SequenceNode:
		return y.list(from, at, depth)
	case yaml.ScalarNode:
		return y.scalar(from, at, depth)
	default:
		y.problem(at, "this kind of YAML node has no place in a manifest")
		return nil, false
	}
}

func (y *yamlReader) scalar(from *yaml.Node, at place, depth int) (*node, bool) {
	kinds := map[string]kind{
		tagString: text, tagTimestamp: text, // a date is text, as in YAML 1.2
		tagInteger: number, tagFloat: number, tagBoolean: boolean, tagNull: null,
	}
	kind, known := kinds[from.ShortTag()]
	if !known {
		y.unknownTag(from, at)
		kind = text
	}
	n, ok := y.node(kind, at, depth)
	if !ok {
		return nil, false
	}
	switch kind {
	case text, number:
		n.text = from.Value
	case boolean:
		n.text = strings.ToLower(from.Value)
	}
	return n, true
}

func (y *yamlReader) object(from *yaml.Node, at place, depth int) (*node, bool) {
	if tag := from.ShortTag(); tag != tagMap {
		y.unknownTag(from, at)
	}
	n, ok := y.node(object, at, depth)
	if !ok {
		return nil, false
	}
	seen := map[string]*node{}
	for i := 0; i+1 < len(from.Content); i += 2 {
		key, ok := y.key(from.Content[i], depth+1)
		if !ok {
			return nil, false
		}
		value, ok := y.value(from.Content[i+1], depth+1)
		if !ok {
			return nil, false
		}
		if key != nil {
			y.add(seen, n, key, value)
		}
	}
	return n.indexed(), true
}

// key reads a key, which must be a plain or quoted string as in JSON. It is
// nil when it was refused and the rest can still be read.
func (y *yamlReader) key(from *yaml.Node, depth int) (*node, bool) {
	at := place{from.Line, from.Column}
	switch {
	case from.Kind == yaml.ScalarNode && from.ShortTag() == tagMerge:
		y.problem(at, "the merge key << is not supported; give the whole value an alias, or write it out")
		return nil, true
	case from.Kind != yaml.ScalarNode:
		y.problem(at, "a key must be a string")
		return nil, true
	case from.ShortTag() != tagString && from.ShortTag() != tagTimestamp:
		y.problem(at, "a key must be a string: write it in quotes, %s", quote(from.Value))
		return nil, true
	}
	return y.scalar(from, at, depth)
}

func (y *yamlReader) list(from *yaml.Node, at place, depth int) (*node, bool) {
	if tag := from.ShortTag(); tag != tagList {
		y.unknownTag(from, at)
	}
	n, ok := y.node(list, at, depth)
	if !ok {
		return nil, false
	}
	for _, content := range from.Content {
		item, ok := y.value(content, depth+1)
		if !ok {
			return nil, false
		}
		n.items = append(n.items, item)
	}
	return n, true
}

func (y *yamlReader) unknownTag(from *yaml.Node, at place) {
	y.problem(at, "the tag %s has no meaning in a manifest", quote(from.Tag))
}
