package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"claude-bottle/internal/policy"
)

// Errors of changes.
var (
	// ErrNotHere is a manifest that does not define the bottle.
	ErrNotHere = errors.New("the file does not define the bottle")
	// errShared is a place that an alias leads to as well: what is added for one
	// bottle would be allowed to another.
	errShared = errors.New("what the bottle may reach is shared with others there, by an alias")
	// errForm is a place whose text a program does not change.
	errForm = errors.New("what the bottle may reach has a form there that is not changed by a program")
)

// List is a list of what a bottle may reach, by its key in egress.
type List string

// The lists.
const (
	Allowlist  List = "allowlist"
	Rules      List = "rules"
	PresetList List = "presets"
)

// ListOf is the list that has a rule: the allowlist for one that is but a host.
func ListOf(rule policy.Rule) List {
	if rule.TCP || len(rule.Methods)+len(rule.Paths) > 0 {
		return Rules
	}
	return Allowlist
}

// AddRules returns data, a YAML or JSON manifest, with rules added to what a
// bottle may reach. All else stays as it is, byte for byte. What it returns is
// still to be checked ([LoadEdited]).
func AddRules(data []byte, bottle string, rules []policy.Rule) ([]byte, error) {
	for _, rule := range rules {
		entry := scalar(rule.Text())
		if ListOf(rule) == Rules {
			entry = ruleNode(rule)
		}
		var err error
		if data, err = addEntry(data, bottle, ListOf(rule), entry); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// AddPreset is AddRules for the name of a preset.
func AddPreset(data []byte, bottle, preset string) ([]byte, error) {
	return addEntry(data, bottle, PresetList, scalar(preset))
}

// HasList says whether data has a list of its own for a bottle: one that takes
// the place of home's.
func HasList(data []byte, bottle string, name List) bool {
	root, err := readNodes(data)
	if err != nil {
		return false
	}
	return member(member(member(member(root, "bottles"), bottle), "egress"), string(name)) != nil
}

// addEntry adds an entry to a list of a bottle's egress, unless it is there. The
// text is changed at one place, and what it says then is compared with what it
// is to say.
func addEntry(data []byte, bottle string, name List, entry *yaml.Node) ([]byte, error) {
	root, err := readNodes(data)
	if err != nil {
		return nil, err
	}
	way, missing, err := find(root, bottle, string(name))
	if err != nil {
		return nil, err
	}
	last := way[len(way)-1].value
	if len(missing) == 0 {
		for _, known := range last.Content {
			if same(known, entry) {
				return data, nil
			}
		}
	}
	for _, step := range way {
		if aliased(root, step.value) {
			return nil, errShared
		}
	}
	after, err := insert(data, way[len(way)-1], missing, entry)
	if err != nil {
		return nil, err
	}
	now, err := readNodes(after)
	grow(last, missing, entry)
	if err != nil || !same(now, root) {
		return nil, errForm
	}
	return after, nil
}

// readNodes reads a manifest's one document.
func readNodes(data []byte) (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		return nil, ErrNotHere
	}
	return document.Content[0], nil
}

// step is one key on the way to a list, and its value.
type step struct{ key, value *yaml.Node }

// find walks to a bottle's list as far as there is a way, and returns the keys
// that are missing.
func find(root *yaml.Node, bottle, name string) (way []step, missing []string, err error) {
	at := root
	way = append(way, step{value: root})
	for i, key := range []string{"bottles", bottle, "egress", name} {
		if isNull(at) {
			missing = append(missing, key)
			continue
		}
		if at.Kind != yaml.MappingNode {
			return nil, nil, formOf(at, i)
		}
		found, value := pair(at, key)
		if value == nil {
			missing = append(missing, key)
			at = &yaml.Node{Kind: yaml.ScalarNode, Tag: tagNull}
			continue
		}
		way, at = append(way, step{found, value}), value
	}
	if len(way) < 3 { // no such bottle
		return nil, nil, ErrNotHere
	}
	if len(missing) == 0 && at.Kind != yaml.SequenceNode && !isNull(at) {
		return nil, nil, formOf(at, len(way))
	}
	return way, missing, nil
}

// formOf is what is wrong with a node that is none of the kind that it is to be,
// so many keys below the root.
func formOf(n *yaml.Node, depth int) error {
	switch {
	case depth < 3:
		return ErrNotHere
	case n.Kind == yaml.AliasNode:
		return errShared
	default:
		return errForm
	}
}

// grow is insert for nodes: what the text is to say.
func grow(at *yaml.Node, missing []string, entry *yaml.Node) {
	for _, key := range missing {
		if isNull(at) {
			*at = yaml.Node{Kind: yaml.MappingNode}
		}
		value := &yaml.Node{Kind: yaml.ScalarNode, Tag: tagNull}
		at.Content = append(at.Content, scalar(key), value)
		at = value
	}
	if isNull(at) {
		*at = yaml.Node{Kind: yaml.SequenceNode}
	}
	at.Content = append(at.Content, entry)
}

// same says whether two nodes say the same.
func same(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Value != b.Value || a.Anchor != b.Anchor || a.ShortTag() != b.ShortTag() || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !same(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// aliased says whether an alias below at leads to a node.
func aliased(at, to *yaml.Node) bool {
	if at.Kind == yaml.AliasNode && at.Alias == to {
		return true
	}
	for _, content := range at.Content {
		if aliased(content, to) {
			return true
		}
	}
	return false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == tagNull }

// pair is a key of an object, as it is written, and its value; nil without.
func pair(object *yaml.Node, name string) (key, value *yaml.Node) {
	if object == nil || object.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(object.Content); i += 2 {
		if object.Content[i].Value == name {
			return object.Content[i], object.Content[i+1]
		}
	}
	return nil, nil
}

// member is the value of a key, or nil.
func member(object *yaml.Node, name string) *yaml.Node {
	_, value := pair(object, name)
	return value
}

func ruleNode(rule policy.Rule) *yaml.Node {
	entry := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, value *yaml.Node) { entry.Content = append(entry.Content, scalar(key), value) }
	list := func(values []string) *yaml.Node {
		node := &yaml.Node{Kind: yaml.SequenceNode}
		for _, value := range values {
			node.Content = append(node.Content, scalar(value))
		}
		return node
	}
	add("host", scalar(rule.Host))
	if rule.Port != 0 {
		add("port", &yaml.Node{Kind: yaml.ScalarNode, Tag: tagInteger, Value: strconv.Itoa(rule.Port)})
	}
	if len(rule.Methods) > 0 {
		add("methods", list(rule.Methods))
	}
	if len(rule.Paths) > 0 {
		add("paths", list(rule.Paths))
	}
	if rule.TCP {
		add("tcp", &yaml.Node{Kind: yaml.ScalarNode, Tag: tagBoolean, Value: "true"})
	}
	return entry
}

func scalar(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tagString, Value: value}
}

// unquoted is text that YAML reads as that text whatever stands around it, but
// for what it takes for a number or the like.
var unquoted = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9/](?:[A-Za-z0-9/._*:-]*[A-Za-z0-9/._*-])?$`)
})

// written is a node on one line, as JSON where that is asked for.
func written(n *yaml.Node, asJSON bool) string {
	var parts []string
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, written(n.Content[i], asJSON)+": "+written(n.Content[i+1], asJSON))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case yaml.SequenceNode:
		for _, item := range n.Content {
			parts = append(parts, written(item, asJSON))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if n.Tag != tagString {
		return n.Value
	}
	if !asJSON && unquoted().MatchString(n.Value) && (&yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}).ShortTag() == tagString {
		return n.Value
	}
	var quoted strings.Builder
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(n.Value) // a string can be encoded
	return strings.TrimSuffix(quoted.String(), "\n")
}
