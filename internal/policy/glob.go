package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// glob is a compiled pattern of paths: its segments, decoded. The zero glob
// matches nothing.
type glob struct {
	text     string // as it was written
	segments []segment
}

// segment is one part between slashes. across is "**". Else parts are the
// texts between its stars: one part is a plain text.
type segment struct {
	across bool
	parts  []string
}

const (
	maxGlob  = 1024
	maxStars = 8 // of "**" in one glob, which bounds what matching costs
)

var errGlobRoot = errors.New(`a path begins with "/"`)

// parseGlob reads a pattern. Its text is held to what [readPath] holds a
// request's to, so that no rule speaks of a path that is refused anyway; a
// star that is meant literally is %2A.
func parseGlob(text string) (glob, error) {
	if !strings.HasPrefix(text, "/") {
		return glob{}, errGlobRoot
	}
	if len(text) > maxGlob {
		return glob{}, fmt.Errorf("longer than %d bytes", maxGlob)
	}
	if strings.ContainsAny(text, "?#") {
		return glob{}, errors.New("a path has no query and no fragment")
	}
	g := glob{text: text}
	stars := 0
	for raw := range strings.SplitSeq(text[1:], "/") {
		if raw == "**" {
			stars++
			g.segments = append(g.segments, segment{across: true})
			continue
		}
		if strings.Contains(raw, "**") {
			return glob{}, errors.New(`"**" stands for whole segments, as in "/a/**"`)
		}
		var s segment
		for part := range strings.SplitSeq(raw, "*") {
			decoded, err := decodeGlobPart(part)
			if err != nil {
				return glob{}, err
			}
			s.parts = append(s.parts, decoded)
		}
		g.segments = append(g.segments, s)
	}
	if stars > maxStars {
		return glob{}, fmt.Errorf(`more than %d times "**"`, maxStars)
	}
	return g, g.possible()
}

// decodeGlobPart takes UTF-8 as people write it, and percent-encoding.
func decodeGlobPart(part string) (string, error) {
	var encoded strings.Builder
	if !utf8.ValidString(part) {
		return "", errPathText
	}
	for i := range len(part) {
		if c := part[i]; c >= 0x80 || c == ' ' {
			fmt.Fprintf(&encoded, "%%%02X", c)
			continue
		}
		encoded.WriteByte(part[i])
	}
	decoded, err := decodePath(encoded.String())
	if err != nil {
		return "", err
	}
	return decoded, nil
}

// possible refuses a glob with a segment that no readable path has.
func (g glob) possible() error {
	last := len(g.segments) - 1
	for i, s := range g.segments {
		if len(s.parts) != 1 {
			continue
		}
		switch s.parts[0] {
		case "":
			if i < last {
				return errPathEmpty
			}
		case ".", "..":
			return errPathDots
		}
	}
	return nil
}

// match says whether the decoded segments of a path match. It goes back to
// the last "**" alone, so its cost is bounded by the product of both lengths.
func (g glob) match(path []string, fold bool) bool {
	at, in := 0, 0
	backAt, backIn := -1, 0
	for in < len(path) {
		switch {
		case at < len(g.segments) && g.segments[at].across:
			backAt, backIn = at, in
			at++
		case at < len(g.segments) && g.segments[at].match(path[in], fold):
			at++
			in++
		case backAt >= 0:
			backIn++
			at, in = backAt+1, backIn
		default:
			return false
		}
	}
	for at < len(g.segments) && g.segments[at].across {
		at++
	}
	return at == len(g.segments) && len(g.segments) > 0
}

// match compares one segment. A lone star wants at least one character.
func (s segment) match(text string, fold bool) bool {
	if fold {
		text = strings.ToLower(text)
	}
	part := func(i int) string {
		if fold {
			return strings.ToLower(s.parts[i])
		}
		return s.parts[i]
	}
	if len(s.parts) == 1 {
		return text == part(0)
	}
	if text == "" {
		return false
	}
	rest, ok := strings.CutPrefix(text, part(0))
	if !ok {
		return false
	}
	last := len(s.parts) - 1
	for i := 1; i < last; i++ {
		before, after, found := strings.Cut(rest, part(i))
		if !found {
			return false
		}
		_, rest = before, after
	}
	return strings.HasSuffix(rest, part(last))
}
