package manifest

import (
	"bytes"
	"encoding/json"
)

// Schema is the JSON Schema (draft 2020-12) of a manifest, indented. It comes
// from the table that the loader walks by and lists only what works. What only
// the loader can know it leaves open: whether a bottle is defined, whether a
// file is there, which ranges overlap.
func Schema() []byte {
	root := schema(table())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "claude-bottle manifest"
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		panic(err) // plain maps, strings and numbers
	}
	return out.Bytes()
}

func schema(f *field) map[string]any {
	s := map[string]any{}
	if types := schemaTypes(f); len(types) == 1 {
		s["type"] = types[0]
	} else {
		s["type"] = types
	}
	if f.doc != "" {
		s["description"] = f.doc
	}
	// Each keyword speaks of one type only, so a field of several forms needs
	// no alternatives.
	for _, kind := range f.kinds {
		switch kind {
		case object:
			schemaObject(s, f)
		case list:
			schemaList(s, f)
		case number:
			s["minimum"], s["maximum"] = f.minimum, f.maximum
		case text:
			schemaText(s, f)
		}
	}
	return s
}

func schemaTypes(f *field) []string {
	names := map[kind]string{object: "object", list: "array", text: "string", number: "number", boolean: "boolean", null: "null"}
	var types []string
	for _, kind := range f.kinds {
		name := names[kind]
		if kind == number && f.whole {
			name = "integer"
		}
		types = append(types, name)
	}
	return types
}

func schemaObject(s map[string]any, f *field) {
	if f.each != nil {
		s["propertyNames"] = schemaPattern(f.keys)
		s["additionalProperties"] = schema(f.each)
		return
	}
	properties := map[string]any{}
	for _, known := range f.fields {
		if known.refusal == "" {
			properties[known.name] = schema(known.field)
		}
	}
	s["properties"] = properties
	s["additionalProperties"] = false
	if f.required != nil {
		s["required"] = f.required
	}
	if f.needs != nil {
		needs := map[string][]string{}
		for key, need := range f.needs {
			needs[key] = []string{need}
		}
		s["dependentRequired"] = needs
	}
	if f.either != nil { // speaks of all types, so that of an object stands apart
		var either []map[string]any
		for _, key := range f.either {
			either = append(either, map[string]any{"required": []string{key}})
		}
		s["if"], s["then"] = map[string]any{"type": "object"}, map[string]any{"oneOf": either}
	}
	if f.free != "" {
		s["patternProperties"] = map[string]any{"^" + f.free: true}
	}
}

func schemaList(s map[string]any, f *field) {
	if f.empty {
		s["maxItems"] = 0
		return
	}
	s["items"] = schema(f.item)
	if f.least > 0 {
		s["minItems"] = f.least
	}
}

func schemaText(s map[string]any, f *field) {
	if f.choices == nil {
		for keyword, value := range schemaPattern(f.pattern) {
			s[keyword] = value
		}
		return
	}
	// An enumeration speaks of all types, so that of a string stands apart
	// where there are others.
	if len(f.kinds) == 1 {
		s["enum"] = f.choices
		return
	}
	s["if"] = map[string]any{"type": "string"}
	s["then"] = map[string]any{"enum": f.choices}
}

func schemaPattern(p pattern) map[string]any {
	s := map[string]any{}
	if p.expression != "" {
		s["pattern"] = p.expression
	}
	if p.not != "" {
		s["not"] = map[string]any{"pattern": p.not}
	}
	return s
}
