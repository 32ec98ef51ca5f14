package broker

import (
	"crypto/rand"
	"errors"
	"math"
	"math/big"
	"strings"

	"claude-bottle/internal/scan"
)

// Alphabets that a placeholder's characters are drawn from.
const (
	lower = "abcdefghijklmnopqrstuvwxyz"
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digit = "0123456789"
	hexes = "abcdef"
)

// leastRandom is how many random bits a placeholder has: enough that none is
// ever guessed or met by chance.
const leastRandom = 64

var errShort = errors.New("the value is too short to be brokered")

// Placeholder makes what stands for value inside a bottle: of its length, with
// the prefix that its provider publishes, in the same alphabet and with the
// same marks in between, so that tools which look at a token's form take it;
// everything else is random and says nothing of the value. It is longer than a
// value too short to hold 64 random bits. A value that the scanner cannot look
// for is an error.
func Placeholder(value string) (string, error) {
	if len(value) < scan.MinValue {
		return "", errShort
	}
	if !visible(value) {
		return "", errValue
	}
	prefix := knownPrefix(value)
	alphabet := alphabetOf(value[prefix:])
	bits := math.Log2(float64(len(alphabet)))
	for {
		var b strings.Builder
		b.WriteString(value[:prefix])
		var random float64
		for _, c := range []byte(value[prefix:]) {
			if strings.IndexByte(lower+upper+digit, c) < 0 {
				b.WriteByte(c)
				continue
			}
			b.WriteByte(pick(alphabet))
			random += bits
		}
		for ; random < leastRandom; random += bits {
			b.WriteByte(pick(alphabet))
		}
		if b.String() != value {
			return b.String(), nil
		}
	}
}

func pick(alphabet string) byte {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
	if err != nil {
		panic("crypto/rand never fails: " + err.Error())
	}
	return alphabet[n.Int64()]
}

// alphabetOf is the smallest of the usual alphabets that has the letters and
// digits of body.
func alphabetOf(body string) string {
	alphabet := ""
	if strings.ContainsAny(body, digit) {
		alphabet = digit
	}
	switch {
	case !strings.ContainsAny(body, upper) && strings.ContainsAny(body, hexes) && !strings.ContainsAny(body, "ghijklmnopqrstuvwxyz"):
		return alphabet + hexes
	case strings.ContainsAny(body, lower):
		alphabet += lower
	}
	if strings.ContainsAny(body, upper) {
		alphabet += upper
	}
	if alphabet == "" {
		return lower + digit
	}
	return alphabet
}

// knownPrefix is the length of the published prefix that value begins with,
// and the number of a version behind it.
func knownPrefix(value string) int {
	length := 0
	for _, row := range scan.Table() {
		if !row.Inside && !row.Fold && strings.HasPrefix(value, row.Keyword) {
			length = max(length, len(row.Keyword))
		}
	}
	if length == 0 {
		return 0
	}
	rest := value[length:]
	if at := strings.IndexByte(rest, '-'); at > 0 && at <= 3 && strings.Trim(rest[:at], digit) == "" {
		length += at + 1
	}
	return length
}
