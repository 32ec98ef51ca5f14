package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"claude-bottle/internal/policy"
)

// ErrNotHere is a manifest that does not define the bottle.
var ErrNotHere = errors.New("the file does not define the bottle")

// AddRules returns data, a YAML manifest, with rules added to what a bottle
// may reach. Comments and the order of keys stay. What it returns is still to
// be checked ([LoadEdited]).
func AddRules(data []byte, bottle string, rules []policy.Rule) ([]byte, error) {
	return changeEgress(data, bottle, func(egress *yaml.Node) error {
		for _, rule := range rules {
			if err := addRule(egress, rule); err != nil {
				return err
			}
		}
		return nil
	})
}

// AddPreset is AddRules for the name of a preset.
func AddPreset(data []byte, bottle, preset string) ([]byte, error) {
	return changeEgress(data, bottle, func(egress *yaml.Node) error {
		return addEntry(egress, "presets", scalar(preset))
	})
}

// changeEgress changes what a bottle may reach.
func changeEgress(data []byte, bottle string, change func(egress *yaml.Node) error) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		return nil, ErrNotHere
	}
	found := member(member(document.Content[0], "bottles"), bottle)
	if found == nil || found.Kind != yaml.MappingNode {
		return nil, ErrNotHere
	}
	egress, err := ensure(found, "egress", yaml.MappingNode)
	if err != nil {
		return nil, err
	}
	if err := change(egress); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(&document), encoder.Close()); err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	return out.Bytes(), nil
}

// ListsEgress says whether data, a YAML manifest, has a list of its own of
// what a bottle may reach: one that takes the place of home's.
func ListsEgress(data []byte, bottle string) bool {
	var document yaml.Node
	if yaml.Unmarshal(data, &document) != nil || len(document.Content) != 1 {
		return false
	}
	egress := member(member(member(document.Content[0], "bottles"), bottle), "egress")
	return member(egress, "allowlist") != nil || member(egress, "rules") != nil || member(egress, "presets") != nil
}

// addRule adds an entry to the allowlist for a rule that is but a host, and to
// the rules for any other.
func addRule(egress *yaml.Node, rule policy.Rule) error {
	name, entry := "allowlist", scalar(rule.Text())
	if rule.TCP || len(rule.Methods)+len(rule.Paths) > 0 {
		name, entry = "rules", ruleNode(rule)
	}
	return addEntry(egress, name, entry)
}

// addEntry adds an entry to a list of egress, unless it is there.
func addEntry(egress *yaml.Node, name string, entry *yaml.Node) error {
	list, err := ensure(egress, name, yaml.SequenceNode)
	if err != nil {
		return err
	}
	for _, known := range list.Content {
		if known.Kind == yaml.ScalarNode && known.Value == entry.Value && entry.Kind == yaml.ScalarNode {
			return nil
		}
	}
	list.Content = append(list.Content, entry)
	return nil
}

func ruleNode(rule policy.Rule) *yaml.Node {
	entry := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	add := func(key string, value *yaml.Node) { entry.Content = append(entry.Content, scalar(key), value) }
	list := func(values []string) *yaml.Node {
		node := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, value := range values {
			node.Content = append(node.Content, scalar(value))
		}
		return node
	}
	add("host", scalar(rule.Host))
	if rule.Port != 0 {
		add("port", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(rule.Port)})
	}
	if len(rule.Methods) > 0 {
		add("methods", list(rule.Methods))
	}
	if len(rule.Paths) > 0 {
		add("paths", list(rule.Paths))
	}
	if rule.TCP {
		add("tcp", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	}
	return entry
}

func scalar(value string) *yaml.Node {
	node := &yaml.Node{}
	node.SetString(value)
	if strings.HasPrefix(value, "*") { // else an alias
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}

// member is the value of a key, or nil.
func member(object *yaml.Node, key string) *yaml.Node {
	if object == nil || object.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(object.Content); i += 2 {
		if object.Content[i].Value == key {
			return object.Content[i+1]
		}
	}
	return nil
}

// ensure is member, which makes what is missing.
func ensure(object *yaml.Node, key string, kind yaml.Kind) (*yaml.Node, error) {
	value := member(object, key)
	switch {
	case value == nil:
		value = &yaml.Node{Kind: kind}
		object.Content = append(object.Content, scalar(key), value)
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
		value.Kind, value.Tag, value.Value = kind, "", ""
	case value.Kind != kind: // an alias, which others share
		return nil, fmt.Errorf("%q of the manifest is shared with others or of another form", key)
	}
	return value, nil
}
