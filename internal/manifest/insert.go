package manifest

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// insert writes an entry into the text of a manifest: below a value that is
// there, under the keys that are missing. What it makes of text that it
// misreads says something else, which addEntry notices.
func insert(data []byte, at step, missing []string, entry *yaml.Node) ([]byte, error) {
	t := splitText(data)
	switch n := at.value; {
	case isNull(n) && n.Value == "" && at.key != nil:
		indent := at.key.Column - 1
		return t.after(at.key.Line, blockOf(indent+indentStep, missing, entry))
	case len(n.Content) == 0 || n.Style&yaml.FlowStyle != 0:
		return t.intoFlow(n, missing, entry)
	case n.Kind == yaml.SequenceNode:
		first, last := n.Content[0], n.Content[len(n.Content)-1]
		indent := t.indent(first.Line)
		return t.after(t.end(last.Line, indent, false), blockOf(indent, missing, entry))
	default:
		indent := n.Content[0].Column - 1
		last := n.Content[len(n.Content)-2]
		return t.after(t.end(last.Line, indent, true), blockOf(indent, missing, entry))
	}
}

// indentStep is how much deeper the values of a new key are.
const indentStep = 2

// blockOf are the lines of an entry below keys.
func blockOf(indent int, keys []string, entry *yaml.Node) []string {
	var lines []string
	for _, key := range keys {
		lines = append(lines, strings.Repeat(" ", indent)+written(scalar(key), false)+":")
		indent += indentStep
	}
	return append(lines, strings.Repeat(" ", indent)+"- "+written(entry, false))
}

// flowOf is an entry below keys on one line.
func flowOf(keys []string, entry *yaml.Node, asJSON bool) string {
	if len(keys) == 0 {
		return written(entry, asJSON)
	}
	inner := &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{entry}}
	for i := len(keys) - 1; i > 0; i-- {
		inner = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar(keys[i]), inner}}
	}
	return written(scalar(keys[0]), asJSON) + ": " + written(inner, asJSON)
}

// manifestText is a manifest's text in lines, each with its end. Lines and
// columns count from 1, columns in characters, as YAML's nodes have them.
type manifestText struct {
	lines [][]byte
	eol   string // of the file
}

func splitText(data []byte) manifestText {
	t := manifestText{lines: bytes.SplitAfter(data, []byte("\n")), eol: "\n"}
	if len(t.lines[len(t.lines)-1]) == 0 {
		t.lines = t.lines[:len(t.lines)-1]
	}
	if len(t.lines) > 0 && bytes.HasSuffix(t.lines[0], []byte("\r\n")) {
		t.eol = "\r\n"
	}
	return t
}

// after writes lines after a line.
func (t manifestText) after(line int, added []string) ([]byte, error) {
	if line < 1 || line > len(t.lines) {
		return nil, errForm
	}
	var out bytes.Buffer
	for i, text := range t.lines {
		out.Write(text)
		if i != line-1 {
			continue
		}
		if !bytes.HasSuffix(text, []byte("\n")) {
			out.WriteString(t.eol)
		}
		for _, one := range added {
			out.WriteString(one + t.eol)
		}
	}
	return out.Bytes(), nil
}

// indent is the number of spaces that a line begins with.
func (t manifestText) indent(line int) int {
	if line < 1 || line > len(t.lines) {
		return 0
	}
	return len(t.lines[line-1]) - len(bytes.TrimLeft(t.lines[line-1], " "))
}

// end is the last line of a collection whose entries have an indent, and of
// which the last one begins on a line. A list may stand as far left as the key
// that it belongs to, and so may a bracket that closes.
func (t manifestText) end(line, indent int, listsBelow bool) int {
	end := line
	for i := line + 1; i <= len(t.lines); i++ {
		text := bytes.TrimSpace(t.lines[i-1])
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		closes := text[0] == ']' || text[0] == '}'
		list := listsBelow && text[0] == '-' && t.indent(i) == indent
		if t.indent(i) <= indent && !closes && !list {
			break
		}
		end = i
	}
	return end
}

// intoFlow writes an entry into what stands in brackets, behind what is there.
func (t manifestText) intoFlow(n *yaml.Node, missing []string, entry *yaml.Node) ([]byte, error) {
	data := bytes.Join(t.lines, nil)
	begin, ok := t.offset(n.Line, n.Column)
	if !ok || data[begin] != '[' && data[begin] != '{' {
		return nil, errForm
	}
	last, end, ok := flowEnd(data, begin)
	if !ok {
		return nil, errForm
	}
	added := flowOf(missing, entry, isJSON(data))
	if last > begin {
		between := " "
		if onItsOwnLine := bytes.LastIndexByte(data[:end], '\n'); onItsOwnLine > last && len(bytes.TrimSpace(data[onItsOwnLine:end])) == 0 {
			line := data[bytes.LastIndexByte(data[:last], '\n')+1:]
			between = t.eol + string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
		}
		if data[last] != ',' {
			between = "," + between
		}
		added = between + added
	}
	return append(append(bytes.Clone(data[:last+1]), added...), data[last+1:]...), nil
}

// isJSON says whether a manifest is to stay JSON.
func isJSON(data []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) }

// offset is where a character stands.
func (t manifestText) offset(line, column int) (int, bool) {
	if line < 1 || line > len(t.lines) {
		return 0, false
	}
	at := 0
	for _, before := range t.lines[:line-1] {
		at += len(before)
	}
	text := t.lines[line-1]
	for ; column > 1 && len(text) > 0; column-- {
		_, size := utf8.DecodeRune(text)
		at, text = at+size, text[size:]
	}
	return at, len(text) > 0
}

// flowEnd finds the bracket that closes the one at begin, and the last character
// before it that is neither space nor comment.
func flowEnd(data []byte, begin int) (last, end int, ok bool) {
	depth, fresh := 0, true // at the beginning of a scalar, where quotes are such
	for i := begin; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"' && fresh, c == '\'' && fresh:
			if i = quoteEnd(data, i); i == len(data) {
				return 0, 0, false
			}
			fresh = false
		case c == '#' && i > 0 && bytes.IndexByte([]byte(" \t\n"), data[i-1]) >= 0:
			if next := bytes.IndexByte(data[i:], '\n'); next >= 0 {
				i += next
				continue
			}
			return 0, 0, false
		case c == '[' || c == '{':
			depth, fresh = depth+1, true
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return last, i, true
			}
			fresh = false
		case c == ',' || c == ':':
			fresh = true
		case bytes.IndexByte([]byte(" \t\r\n"), c) >= 0:
			continue
		default:
			fresh = false
		}
		last = i
	}
	return 0, 0, false
}

// quoteEnd is where a quoted scalar that begins at a place ends.
func quoteEnd(data []byte, begin int) int {
	quote := data[begin]
	for i := begin + 1; i < len(data); i++ {
		switch {
		case quote == '"' && data[i] == '\\':
			i++
		case data[i] != quote:
		case quote == '\'' && i+1 < len(data) && data[i+1] == quote:
			i++
		default:
			return i
		}
	}
	return len(data)
}
