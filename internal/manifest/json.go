package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// jsonReader walks the tokens of a text that is known to be valid and keeps
// where each began, which encoding/json does not say.
type jsonReader struct {
	*reader
	decoder *json.Decoder
	// Counted up to offset, so that a file is counted through once.
	offset, line, column int
}

// json reads the file with encoding/json: the whole text is checked first,
// since its token reader alone forgives misplaced commas.
func (r *reader) json() *node {
	if err := json.Unmarshal(r.data, new(json.RawMessage)); err != nil {
		r.jsonSyntax(err)
		return nil
	}
	j := &jsonReader{reader: r, decoder: json.NewDecoder(bytes.NewReader(r.data)), line: 1, column: 1}
	j.decoder.UseNumber()
	root, _ := j.value(0)
	return root
}

func (r *reader) jsonSyntax(err error) {
	at, message := place{1, 1}, err.Error()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset := int(syntax.Offset) - 1 // Offset counts the offending byte
		at = r.place(offset)
		before := bytes.TrimRight(r.data[:min(max(offset, 0), len(r.data))], " \t\r\n")
		switch {
		case len(bytes.TrimSpace(r.data)) == 0:
			at, message = place{1, 1}, "the file is empty; an empty manifest is {}"
		case strings.HasPrefix(message, "unexpected end"):
			at, message = r.place(len(r.data)), "the file ends too early: a bracket, brace or quote is not closed"
		case strings.HasPrefix(message, "invalid character '/'"):
			message += "; JSON has no comments, claude-bottle.yaml does"
		case bytes.HasSuffix(before, []byte(",")):
			message += "; the comma before it is one too many"
		}
	}
	r.problem(at, "%s", message)
}

// token returns the next token and where it began.
func (j *jsonReader) token() (json.Token, place) {
	start := int(j.decoder.InputOffset())
	for start < len(j.data) && strings.IndexByte(" \t\r\n,:", j.data[start]) >= 0 {
		start++
	}
	for j.offset < start {
		r, size := utf8.DecodeRune(j.data[j.offset:])
		j.offset += size
		j.column++
		if r == '\n' {
			j.line, j.column = j.line+1, 1
		}
	}
	at := place{j.line, j.column}
	token, err := j.decoder.Token()
	if err != nil { // the text was checked: not reached
		return nil, at
	}
	if s, ok := token.(string); ok && strings.ContainsRune(s, utf8.RuneError) {
		j.surrogates(j.data[start:j.decoder.InputOffset()], at)
	}
	return token, at
}

// surrogates refuses half of a surrogate pair, of which encoding/json makes a
// replacement character: two different texts would become one.
func (j *jsonReader) surrogates(raw []byte, at place) {
	if !bytes.ContainsRune(raw, utf8.RuneError) && !bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) {
		j.problem(at, `an escape \u… is half of a surrogate pair`)
	}
}

func (j *jsonReader) value(depth int) (*node, bool) {
	token, at := j.token()
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return j.object(at, depth)
		}
		return j.list(at, depth)
	case string:
		return j.scalar(text, token, at, depth)
	case json.Number:
		return j.scalar(number, token.String(), at, depth)
	case bool:
		return j.scalar(boolean, map[bool]string{true: "true", false: "false"}[token], at, depth)
	default:
		return j.scalar(null, "", at, depth)
	}
}

func (j *jsonReader) scalar(kind kind, s string, at place, depth int) (*node, bool) {
	n, ok := j.node(kind, at, depth)
	if ok {
		n.text = s
	}
	return n, ok
}

func (j *jsonReader) object(at place, depth int) (*node, bool) {
	n, ok := j.node(object, at, depth)
	if !ok {
		return nil, false
	}
	seen := map[string]*node{}
	for j.decoder.More() {
		key, ok := j.value(depth + 1)
		if !ok {
			return nil, false
		}
		value, ok := j.value(depth + 1)
		if !ok {
			return nil, false
		}
		j.add(seen, n, key, value)
	}
	j.token() // the closing brace
	return n.indexed(), true
}

func (j *jsonReader) list(at place, depth int) (*node, bool) {
	n, ok := j.node(list, at, depth)
	if !ok {
		return nil, false
	}
	for j.decoder.More() {
		item, ok := j.value(depth + 1)
		if !ok {
			return nil, false
		}
		n.items = append(n.items, item)
	}
	j.token() // the closing bracket
	return n, true
}
