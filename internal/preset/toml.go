package preset

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
)

var errCargo = errors.New("sources and registries are written in a form that is not read here: " +
	`write them as [source.NAME] or [registries.NAME] with lines KEY = "TEXT"`)

// cargoLines are the forms of lines. They are compiled when they are needed,
// since most commands of the binary read none.
var cargoLines = sync.OnceValue(func() (forms struct{ header, setting, other, elsewhere *regexp.Regexp }) {
	forms.header = regexp.MustCompile(`^\[\s*(source|registries)\s*\.\s*(?:"([A-Za-z0-9_.-]+)"|'([A-Za-z0-9_.-]+)'|([A-Za-z0-9_-]+))\s*\]$`)
	forms.setting = regexp.MustCompile(`^([A-Za-z0-9_-]+)\s*=\s*(?:"([^"\\]*)"|'([^']*)')$`)
	forms.other = regexp.MustCompile(`^(?:[A-Za-z0-9_-]+)\s*=\s*(?:true|false|[0-9]+)$`)
	// What no other line may begin with.
	forms.elsewhere = regexp.MustCompile(`^\[*\s*["']?(source|registries)\b`)
	return forms
})

// cargoKeys are the settings that say where a source or a registry is.
var cargoKeys = []string{"registry", "index", "replace-with", "local-registry", "directory"}

// readCargo reads the tables [source.NAME] and [registries.NAME] of cargo's
// configuration, whose values are text in one line. It is no reader of TOML
// (https://toml.io/en/v1.0.0): other tables are passed over, and where those
// two, or anything that could hide them, are written in another form it says
// so.
func readCargo(text string) (map[string]map[string]string, error) {
	tables := map[string]map[string]string{}
	var table map[string]string // nil in a table that is passed over
	depth, forms := 0, cargoLines()
	for line := range strings.Lines(text) {
		line, open, err := uncommented(line)
		if err != nil {
			return nil, err
		}
		continued := depth > 0
		if depth += open; depth < 0 {
			return nil, errCargo
		}
		if continued || line == "" {
			continue
		}
		header := forms.header.FindStringSubmatch(line)
		setting := forms.setting.FindStringSubmatch(line)
		switch {
		case header != nil:
			name := header[1] + "." + header[2] + header[3] + header[4]
			if tables[name] != nil {
				return nil, errCargo
			}
			table = map[string]string{}
			tables[name] = table
		case forms.elsewhere.MatchString(line):
			return nil, errCargo
		case line[0] == '[':
			table = nil
		case table == nil:
		case setting != nil:
			if slices.Contains(cargoKeys, setting[1]) { // a token is not kept
				table[setting[1]] = setting[2] + setting[3]
			}
		case !forms.other.MatchString(line):
			return nil, errCargo
		}
	}
	if depth != 0 {
		return nil, errCargo
	}
	return tables, nil
}

// uncommented is a line without its comment and the space around it, and how
// many more brackets it opens than closes. Text of several lines is refused,
// since what is in it could look like a table.
func uncommented(line string) (string, int, error) {
	line = strings.TrimSpace(line)
	open := 0
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == '"' && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case strings.HasPrefix(line[i:], `"""`) || strings.HasPrefix(line[i:], `'''`):
			return "", 0, errCargo
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return strings.TrimSpace(line[:i]), open, nil
		case c == '[' || c == '{':
			open++
		case c == ']' || c == '}':
			open--
		}
	}
	if quote != 0 {
		return "", 0, errCargo
	}
	return line, open, nil
}
