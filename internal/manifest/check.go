package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// visit is one value on the way of a checker: its key (nil for the root and
// for items) and its dotted path.
type visit struct {
	*node
	key  *node
	path string
}

// checker walks one file by the table and collects everything that is wrong.
type checker struct {
	loader   *loader
	problems []Problem
	patterns map[string]*regexp.Regexp
}

func (c *checker) problem(n *node, path, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if path != "" {
		message = path + ": " + message
	}
	c.problems = append(c.problems, Problem{At: n.position(), Message: message})
}

// value checks v against f, and everything below it.
func (c *checker) value(f *field, v visit) {
	if !slices.Contains(f.kinds, v.kind) {
		c.problem(v.node, v.path, "expected %s, found %s%s", kinds(f.kinds), phrase(v.kind), c.remedy(f, v))
		return
	}
	// The check of values speaks first, since it knows more than the table
	// does. The table holds all the same: what the schema refuses, the loader
	// refuses too.
	if f.check != nil {
		if err := f.check(c, v); err != nil {
			c.problem(v.node, v.path, "%s", plain(err.Error()))
			return
		}
	}
	switch v.kind {
	case object:
		c.object(f, v.node, v.path)
	case list:
		c.list(f, v.node, v.path)
	case number:
		c.number(f, v.node, v.path)
	case text:
		c.text(f, v.node, v.path)
	}
}

func (c *checker) object(f *field, n *node, path string) {
	refused := false
	for _, entry := range n.entries {
		key, below := entry.key.text, join(path, entry.key.text)
		if f.each != nil {
			if c.key(f, entry.key, path) {
				c.value(f.each, visit{entry.value, entry.key, below})
			}
			continue
		}
		if f.free != "" && strings.HasPrefix(key, f.free) {
			continue
		}
		i := slices.IndexFunc(f.fields, func(known named) bool { return known.name == key })
		switch {
		case i < 0:
			c.unknown(f, entry.key, path)
		case f.fields[i].refusal != "":
			refused = true
			c.problem(entry.key, below, "%s", f.fields[i].refusal)
		default:
			c.value(f.fields[i].field, visit{entry.value, entry.key, below})
		}
	}
	for _, name := range f.required {
		// A key of a later version takes the place of those of this one.
		if n.child(name) == nil && !refused {
			c.problem(n, path, "the key %q is missing", name)
		}
	}
	c.together(f, n, path)
}

// together checks which keys of an object stand beside which.
func (c *checker) together(f *field, n *node, path string) {
	var there []string
	for _, name := range f.either {
		if n.child(name) != nil {
			there = append(there, name)
		}
	}
	switch {
	case f.either != nil && len(there) == 0:
		c.problem(n, path, "one of the keys %s is needed", strings.Join(f.either, " and "))
	case len(there) > 1:
		c.problem(n, path, "the keys %s cannot stand together", strings.Join(there, " and "))
	}
	for _, e := range n.entries {
		need, known := f.needs[e.key.text]
		if known && n.child(need) == nil {
			c.problem(e.key, join(path, e.key.text), "the key %q has to stand beside it", need)
		}
	}
}

func (c *checker) unknown(f *field, key *node, path string) {
	var known []string
	for _, field := range f.fields {
		known = append(known, field.name)
	}
	message := "unknown key " + quote(key.text)
	if near := closest(key.text, known, c.problems); near != "" {
		message += fmt.Sprintf("; did you mean %q?", near)
	}
	c.problem(key, path, "%s", message)
}

func (c *checker) key(f *field, key *node, path string) bool {
	if f.checkKey != nil {
		if err := f.checkKey(key.text); err != nil {
			c.problem(key, path, "%s", plain(err.Error()))
			return false
		}
	}
	if c.matches(f.keys, key.text) {
		return true
	}
	c.problem(key, path, "%s is not %s", quote(key.text), f.keys.words)
	return false
}

func (c *checker) list(f *field, n *node, path string) {
	if f.empty {
		if len(n.items) > 0 {
			c.problem(n, path, "%s", later)
		}
		return
	}
	if len(n.items) < f.least {
		c.problem(n, path, "%d items are too few: at least %d", len(n.items), f.least)
	}
	for i, item := range n.items {
		c.value(f.item, visit{item, nil, path + "[" + strconv.Itoa(i) + "]"})
	}
}

func (c *checker) text(f *field, n *node, path string) {
	switch {
	case f.choices == nil:
		if !c.matches(f.pattern, n.text) {
			c.problem(n, path, "%s is not %s", quote(n.text), f.pattern.words)
		}
	case slices.Contains(f.choices, n.text):
	case slices.Contains(f.later, n.text):
		c.problem(n, path, "%s: %s", quote(n.text), later)
	default:
		message := fmt.Sprintf("%s is not one of: %s", quote(n.text), strings.Join(f.choices, ", "))
		if near := closest(n.text, f.choices, c.problems); near != "" {
			message += fmt.Sprintf("; did you mean %q?", near)
		}
		c.problem(n, path, "%s", message)
	}
}

func (c *checker) number(f *field, n *node, path string) {
	value, ok := n.number()
	switch {
	case !ok:
		c.problem(n, path, "%s is not a number in decimal digits", quote(n.text))
	case value < f.minimum || value > f.maximum:
		c.problem(n, path, "%s is not between %s and %s", quote(n.text), digits(f.minimum), digits(f.maximum))
	case f.whole && value != float64(int64(value)):
		c.problem(n, path, "%s is not a whole number", quote(n.text))
	}
}

// numberForm is JSON's form of a number. YAML has more (0x1f, 1_000, 010,
// .inf), which people and programs read differently.
const numberForm = `^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`

// number is the value of a node of that kind, in JSON's form.
func (n *node) number() (float64, bool) {
	if n == nil || n.kind != number {
		return 0, false
	}
	if ok, err := regexp.MatchString(numberForm, n.text); !ok || err != nil {
		return 0, false
	}
	value, err := strconv.ParseFloat(n.text, 64)
	return value, err == nil
}

func digits(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

func (c *checker) matches(p pattern, s string) bool {
	if p.expression != "" && !c.compiled(p.expression).MatchString(s) {
		return false
	}
	return p.not == "" || !c.compiled(p.not).MatchString(s)
}

func (c *checker) compiled(expression string) *regexp.Regexp {
	re, ok := c.patterns[expression]
	if !ok {
		re = regexp.MustCompile(expression)
		c.patterns[expression] = re
	}
	return re
}

// remedy says how to mend a wrong type that YAML's plain scalars often make.
func (c *checker) remedy(f *field, v visit) string {
	quotable := slices.Contains(f.kinds, text) && f.choices == nil && c.matches(f.pattern, v.text)
	switch {
	case quotable && (v.kind == number || v.kind == boolean):
		return fmt.Sprintf("; write it in quotes: %s", quote(v.text))
	case v.kind == null && v.key != nil && len(f.kinds) == 1 && f.kinds[0] == object:
		return "; leave the key out, or write {}"
	}
	return ""
}

func kinds(of []kind) string {
	var words []string
	for _, kind := range of {
		words = append(words, phrase(kind))
	}
	return strings.Join(words, " or ")
}

func phrase(of kind) string {
	switch of {
	case object:
		return "an object"
	case null:
		return "nothing"
	default:
		return "a " + string(of)
	}
}

func newChecker(l *loader) *checker {
	return &checker{loader: l, patterns: map[string]*regexp.Regexp{}}
}
