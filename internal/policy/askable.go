package policy

import (
	"math"
	"strings"
)

// Names below these lead nowhere that is public (RFC 6761, RFC 6762, RFC 7686,
// RFC 8375, and what ICANN reserved for private use).
var privateNames = []string{"localhost", "local", "invalid", "onion", "home.arpa", "internal", "arpa", "alt", "lan"}

// Askable says whether a person may be asked to allow a normalised name: one
// that leads nowhere public, or that carries what looks like data, is not for
// people to judge. A label of 20 characters or more with 3.5 bits each or more
// looks like data.
func Askable(host string) bool {
	if !strings.Contains(host, ".") {
		return false
	}
	for _, name := range privateNames {
		if strings.HasSuffix(host, "."+name) {
			return false
		}
	}
	for label := range strings.SplitSeq(host, ".") {
		if len(label) >= 20 && entropy(label) >= 3.5 {
			return false
		}
	}
	return true
}

// entropy is Shannon's, of the bytes of s, in bits each.
func entropy(s string) float64 {
	var counts [256]int
	for i := range len(s) {
		counts[s[i]]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(s))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}
