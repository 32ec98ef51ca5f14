package manifest

import (
	"errors"
	"strconv"

	"claude-bottle/internal/policy"
)

// rules asks the one that will decide about all rules of an egress at once,
// since two of them can contradict each other, and puts what it says at the
// rule. Values of a wrong kind are passed over: the walk reports them.
func (c *checker) rules(v visit) error {
	if named := v.get("presets"); len(named.words()) > 0 && v.get("inspect").word() == policy.InspectNever {
		c.problem(named, v.path+".presets", "GET and HEAD are told from the rest only where TLS is opened, which inspect: never forbids")
	}
	items := v.get("rules")
	if items == nil || items.kind != list {
		return nil
	}
	egress := policy.Egress{Inspect: v.get("inspect").word()}
	if egress.Inspect != policy.InspectNever {
		egress.Inspect = ""
	}
	var places []*node
	for _, item := range items.items {
		if item.get("host").word() == "" {
			continue // reported by the walk
		}
		egress.Rules = append(egress.Rules, ruleOf(item))
		places = append(places, item)
	}
	_, err := policy.Compile(egress)
	for _, wrong := range ruleErrors(err) {
		c.problem(places[wrong.Index], v.path+".rules", "%s", plain(wrong.Error()))
	}
	return nil
}

// ruleErrors takes a joined error apart.
func ruleErrors(err error) []*policy.RuleError {
	var one *policy.RuleError
	var found []*policy.RuleError
	switch joined := err.(type) { //nolint:errorlint // the tree is walked by hand
	case nil:
	case *policy.RuleError:
		return []*policy.RuleError{joined}
	case interface{ Unwrap() []error }:
		for _, part := range joined.Unwrap() {
			found = append(found, ruleErrors(part)...)
		}
	default:
		if errors.As(err, &one) {
			found = append(found, one)
		}
	}
	return found
}

// ruleOf reads one rule. What is not of its kind is left out.
func ruleOf(n *node) policy.Rule {
	port, _ := n.get("port").number()
	budget, _ := parseSize(n.get("budget").word())
	return policy.Rule{
		Host: policy.Spelled(n.get("host").word()), Port: int(port), Methods: distinct(n.get("methods").words()), Paths: distinct(n.get("paths").words()),
		Deny: n.get("deny").yes(), TCP: n.get("tcp").yes(), Inspect: choice(n.get("inspect")), Budget: budget, Scan: scanMode(n.get("scan")),
	}
}

// choice is the word of an inspect field, or "" where it is none of them.
func choice(n *node) string {
	switch word := n.word(); word {
	case policy.InspectAuto, policy.InspectAlways, policy.InspectNever:
		return word
	default:
		return ""
	}
}

// yes is the value of a boolean node.
func (n *node) yes() bool {
	if n == nil || n.kind != boolean {
		return false
	}
	value, err := strconv.ParseBool(n.text)
	return err == nil && value
}

func (c *checker) noProxy(v visit) error {
	_, err := policy.Compile(policy.Egress{NoProxy: []string{v.text}})
	return err
}
