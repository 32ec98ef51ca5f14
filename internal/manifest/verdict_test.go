package manifest

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// TestOneVerdict makes values by the table, right and wrong in every place,
// and holds the loader's walk, without its checks of values, to the schema's
// verdict on each; with them it may only refuse more.
func TestOneVerdict(t *testing.T) {
	schema := validator(t)
	rules := withoutChecks(table())
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		made := instanceOf(t, table(), 0)
		data, err := json.Marshal(made)
		if err != nil {
			t.Fatal(err)
		}
		file := &Source{Path: "/nowhere/claude-bottle.json", Origin: Home, data: data}
		root, problems := parse(file, false)
		if root == nil || len(problems) > 0 {
			t.Fatalf("%s: %v", data, problems)
		}
		bare, full := newChecker(&loader{}), newChecker(&loader{home: "/nowhere"})
		bare.value(rules, visit{node: root})
		full.value(table(), visit{node: root})
		err = schema.Validate(instance(root))
		if (err == nil) != (len(bare.problems) == 0) {
			t.Fatalf("%s\nloader: %v\nschema: %v", data, bare.problems, err)
		}
		if err != nil && len(full.problems) == 0 {
			t.Fatalf("%s\nthe loader takes what the schema refuses: %v", data, err)
		}
		if err == nil {
			accepted++
		}
	})
	if accepted == 0 {
		t.Error("no value was right: the generator shows nothing")
	}
}

// withoutChecks is the table as the schema has it.
func withoutChecks(f *field) *field {
	if f == nil {
		return nil
	}
	bare := *f
	bare.check, bare.checkKey = nil, nil
	bare.each, bare.item = withoutChecks(f.each), withoutChecks(f.item)
	bare.fields = nil
	for _, known := range f.fields {
		known.field = withoutChecks(known.field)
		bare.fields = append(bare.fields, known)
	}
	return &bare
}

var words = []string{
	"", "a", "work", "Go Shell", "-x", "a/b", "..", ".x", "x-", "x-y", "A", "1A", "HTTP_PROXY", "no_proxy", "${A}", "${a b}", "?", "?what", "a\nb",
	"a\x00b", "\u00e9", "claude", "codex", "auto", "runsc", "runc", "4GiB", "512MB", "0B", "4G", "1.5kB", "api.example.com", "*.example.com", "*",
	"10.20.0.0/16", "10.0.0.1", "fd00::/8", "::1", "http://proxy:3128", "http://u:p@proxy:3128/", "https://proxy:1", "roots.pem", "~/x", "value", "secret",
}

var junk = []any{nil, true, 0, 1, -1, 1.5, 4096, 1e9, "x", "", []any{}, []any{"x"}, []any{nil}, map[string]any{}, map[string]any{"x": 1}, map[string]any{"value": "x"}}

func instanceOf(t *rapid.T, f *field, depth int) any {
	if f == nil || rapid.IntRange(0, 19).Draw(t, "junk") == 0 {
		return rapid.SampledFrom(junk).Draw(t, "any")
	}
	switch rapid.SampledFrom(f.kinds).Draw(t, "kind") {
	case object:
		return objectOf(t, f, depth)
	case list:
		items := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			items = append(items, instanceOf(t, f.item, depth+1))
		}
		return items
	case number:
		return rapid.SampledFrom([]any{0, 0.01, 0.001, 1, 1.5, 2.0, 1024, 1025, 1 << 22, 1<<22 + 1, -1}).Draw(t, "number")
	default:
		return textOf(t, f)
	}
}

func textOf(t *rapid.T, f *field) string {
	right := append([]string{}, f.choices...)
	for _, word := range words {
		if f.choices == nil && newChecker(nil).matches(f.pattern, word) {
			right = append(right, word)
		}
	}
	if len(right) == 0 || rapid.IntRange(0, 9).Draw(t, "wrong") == 0 {
		return rapid.SampledFrom(words).Draw(t, "word")
	}
	return rapid.SampledFrom(right).Draw(t, "right")
}

func objectOf(t *rapid.T, f *field, depth int) any {
	made := map[string]any{}
	if f.each != nil {
		for range rapid.IntRange(0, 2).Draw(t, "keys") {
			made[textOf(t, &field{pattern: f.keys})] = instanceOf(t, f.each, depth+1)
		}
		return made
	}
	for _, known := range f.fields {
		chance := rapid.IntRange(0, 19).Draw(t, "key")
		if chance == 0 || known.refusal == "" && chance < 12 {
			made[known.name] = instanceOf(t, known.field, depth+1)
		}
	}
	if rapid.IntRange(0, 19).Draw(t, "unknown") == 0 {
		made[rapid.SampledFrom(words).Draw(t, "name")] = rapid.SampledFrom(junk).Draw(t, "any")
	}
	return made
}
