package reference

import (
	"net/netip"
	"strings"
)

const (
	digits  = "0123456789"
	lower   = "abcdefghijklmnopqrstuvwxyz"
	upper   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	hexadec = digits + "abcdef"
)

// only says whether s is characters of set, at least one.
func only(s, set string) bool { return s != "" && strings.Trim(s, set) == "" }

func isHex(s string) bool { return only(s, hexadec) }

func isTag(s string) bool {
	return len(s) <= longestTag && only(s, digits+lower+upper+"_.-") && !strings.ContainsAny(s[:1], ".-")
}

// isDigest is what the grammar takes for one.
func isDigest(s string) bool {
	algorithm, encoded, _ := strings.Cut(s, ":")
	if len(encoded) < 32 || !only(encoded, hexadec+"ABCDEF") {
		return false
	}
	for word := range strings.FieldsFuncSeq(algorithm, func(r rune) bool { return strings.ContainsRune("+._-", r) }) {
		if !only(word, digits+lower+upper) || strings.ContainsAny(word[:1], digits) {
			return false
		}
	}
	return only(algorithm, digits+lower+upper+"+._-") && wordsBetween(algorithm, "+._-")
}

// wordsBetween says whether separators stand one by one between two others.
func wordsBetween(s, separators string) bool {
	before := true
	for i := range len(s) {
		separator := strings.IndexByte(separators, s[i]) >= 0
		if separator && before {
			return false
		}
		before = separator
	}
	return !before
}

func isPath(s string) bool {
	for component := range strings.SplitSeq(s, "/") {
		if !isComponent(component) {
			return false
		}
	}
	return true
}

// isComponent allows one dot, one or two underscores, or dashes between words.
func isComponent(s string) bool {
	if !only(s, digits+lower+"._-") || strings.Trim(s, "._-") != s {
		return false
	}
	for s != "" {
		s = strings.TrimLeft(s, digits+lower)
		word := strings.TrimLeft(s, "._-")
		switch separator := s[:len(s)-len(word)]; {
		case separator == "", separator == ".", separator == "_", separator == "__", only(separator, "-"):
		default:
			return false
		}
		s = word
	}
	return true
}

func isDomain(s string) bool {
	host, port, ported := s, "", false
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port, ported = s[:i], s[i+1:], true
	}
	if ported && !only(port, digits) {
		return false
	}
	if inner, six := strings.CutPrefix(host, "["); six {
		inner, closed := strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return closed && err == nil && addr.Is6() && addr.Zone() == "" && !strings.Contains(inner, ".")
	}
	for label := range strings.SplitSeq(host, ".") {
		if !only(label, digits+lower+upper+"-") || strings.Trim(label, "-") != label {
			return false
		}
	}
	return true
}
