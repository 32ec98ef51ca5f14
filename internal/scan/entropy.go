package scan

import (
	"math"
	"net/url"
	"strings"
)

// Entropy is Shannon's, of the bytes' own frequencies, in bits a byte.
func Entropy(p []byte) float64 {
	if len(p) == 0 {
		return 0
	}
	var counts [256]int
	for _, b := range p {
		counts[b]++
	}
	var sum float64
	for _, n := range counts {
		if n > 0 {
			f := float64(n) / float64(len(p))
			sum -= f * math.Log2(f)
		}
	}
	return sum
}

// What looks like data in a name or a query: so long, and so many bits a
// character. The labels that people and content networks choose mostly stay
// below one of them.
const (
	randomLength  = 20
	randomEntropy = 3.5
)

func random(s string) bool {
	return len(s) >= randomLength && Entropy([]byte(s)) >= randomEntropy
}

// RandomName says whether a host's labels, single or together, look like data
// that somebody encoded. The last two, which somebody registered, do not
// count, and neither does an address.
func RandomName(host string) bool {
	labels := strings.Split(strings.TrimSuffix(strings.ToLower(host), "."), ".")
	if len(labels) < 3 || strings.Contains(host, ":") {
		return false
	}
	labels = labels[:len(labels)-2]
	for _, label := range labels {
		// A label of words is written with hyphens.
		if random(label) && !words(label) {
			return true
		}
	}
	joined := strings.Join(labels, "")
	return len(labels) > 2 && len(joined) >= 2*randomLength && random(joined) && !words(strings.Join(labels, "-"))
}

// words says whether s is short parts between hyphens, none with digits
// between letters, as service-a-eu-west-1 is.
func words(s string) bool {
	for part := range strings.SplitSeq(s, "-") {
		letters := strings.Trim(part, "0123456789")
		if len(part) > 14 || strings.ContainsAny(letters, "0123456789") {
			return false
		}
	}
	return true
}

// RandomQuery says whether a value of a raw query looks like data that
// somebody encoded. A query that cannot be read does.
func RandomQuery(raw string) bool {
	for pair := range strings.SplitSeq(raw, "&") {
		_, value, ok := strings.Cut(pair, "=")
		if !ok {
			value = pair
		}
		text, err := url.QueryUnescape(value)
		if err != nil || random(text) && !sentence(text) {
			return true
		}
	}
	return false
}

// sentence says whether s is words, as a search or a path is.
func sentence(s string) bool {
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(" +,;:./_-()[]{}|\"'", r) }) {
		if len(part) >= randomLength || strings.ContainsAny(strings.Trim(part, digit), digit) {
			return false
		}
	}
	return true
}
