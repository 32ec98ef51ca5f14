package broker

import (
	"errors"
	"strings"

	"claude-bottle/internal/policy"
)

// hostPattern is a name, or every name below one, at one port.
type hostPattern struct {
	below bool
	host  string
	port  int
}

var errHostPattern = errors.New(`a name, or "*." and a name, with a port or without, is wanted`)

// parseHost reads what an allowlist entry may be, but for the port: without
// one it is 443 alone, since a secret is for TLS.
func parseHost(text string) (hostPattern, error) {
	p := hostPattern{port: 443}
	host := text
	if at := strings.LastIndexByte(text, ':'); at >= 0 && !strings.HasSuffix(text, "]") && (text[0] == '[' || strings.Count(text, ":") == 1) {
		port, err := policy.ParsePort(text[at+1:])
		if err != nil {
			return p, err
		}
		host, p.port = text[:at], port
	}
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		host, p.below = rest, true
		if !strings.Contains(rest, ".") {
			return p, errHostPattern // a whole top-level domain
		}
	}
	if strings.ContainsAny(host, "*/@") {
		return p, errHostPattern
	}
	var err error
	p.host, err = policy.Normalise(host)
	return p, err
}

// matchHost says whether one of patterns is host, which is normalised.
func matchHost(patterns []hostPattern, host string, port int) bool {
	for _, p := range patterns {
		if p.port != port {
			continue
		}
		if !p.below && p.host == host || p.below && strings.HasSuffix(host, "."+p.host) {
			return true
		}
	}
	return false
}

// pathPattern is a path's segments; "**" is any number of them.
type pathPattern []string

var errPathPattern = errors.New(`a path begins with "/" and holds no "..", "?" or "#"`)

func parsePath(text string) (pathPattern, error) {
	rest, ok := strings.CutPrefix(text, "/")
	if !ok || strings.ContainsAny(rest, "?#\\") {
		return nil, errPathPattern
	}
	// A slash at the end says nothing, in a pattern as in a path.
	pattern := pathPattern(strings.Split(strings.TrimSuffix(rest, "/"), "/"))
	for i, segment := range pattern {
		// Written so that it is meant: the name of an npm package of a scope is
		// one segment (/@acme%2fweb).
		segment = strings.NewReplacer("%2f", "/", "%2F", "/").Replace(segment)
		pattern[i] = segment
		if segment == ".." || segment == "." || strings.Contains(segment, "**") && segment != "**" {
			return nil, errPathPattern
		}
	}
	return pattern, nil
}

// match says whether the pattern is the path of these segments.
func (p pathPattern) match(segments []string) bool {
	for i, want := range p {
		if want == "**" {
			for skip := range len(segments) - i + 1 {
				if p[i+1:].match(segments[i+skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(segments) || !glob(want, segments[i]) {
			return false
		}
	}
	return len(p) == len(segments)
}

// glob matches one segment, in which "*" is any number of characters.
func glob(pattern, text string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	if !ok {
		return false
	}
	for {
		next, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(text, next)
		}
		at := strings.Index(text, next)
		if at < 0 {
			return false
		}
		text, rest = text[at+len(next):], more
	}
}

var (
	errAmbiguous = errors.New("the path can be read in two ways (dot segments, empty segments, parameters or control characters)")
	errSeparator = errors.New("the path holds an encoded separator, which some servers take for a real one")
)

// readPath takes a path as it is on the wire apart. Where it holds encoded
// separators, servers disagree on where segments end: split are those of a
// server that decodes first, else nil.
func readPath(path string) (segments, split []string, err error) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, nil, errAmbiguous
	}
	rest = strings.TrimSuffix(rest, "/")
	encoded := false
	for raw := range strings.SplitSeq(rest, "/") {
		text, ok := unescape(raw)
		if !ok || rest != "" && text == "" {
			return nil, nil, errAmbiguous
		}
		encoded = encoded || strings.Contains(text, "/")
		segments = append(segments, text)
		for part := range strings.SplitSeq(text, "/") {
			if part == "." || part == ".." {
				return nil, nil, errAmbiguous
			}
			split = append(split, part)
		}
	}
	if !encoded {
		split = nil
	}
	return segments, split, nil
}

// unescape decodes a segment once. What would decode again, or ends a path or
// a string for some server, is refused.
func unescape(raw string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			if i+2 >= len(raw) {
				return "", false
			}
			high, low := nibble(raw[i+1]), nibble(raw[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		if c < ' ' || c == 0x7f || c == '\\' || c == ';' || c == '%' || c == '?' || c == '#' {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

func nibble(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}
