package runs

import (
	"crypto/rand"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// An id is the time of its start in milliseconds since 1970, in base 36, which
// fills eight places until 2059, and five random ones.
const (
	timePlaces   = 8
	randomPlaces = 5
	places       = timePlaces + randomPlaces
)

func newID(now time.Time) ID {
	space := int64(1)
	for range randomPlaces {
		space *= 36
	}
	n, err := rand.Int(rand.Reader, big.NewInt(space))
	if err != nil {
		panic(err) // crypto/rand never fails (Go 1.24 and later)
	}
	return ID(padded(now.UnixMilli(), timePlaces) + padded(n.Int64(), randomPlaces))
}

func padded(n int64, width int) string {
	digits := strconv.FormatInt(n, 36)
	return strings.Repeat("0", max(0, width-len(digits))) + digits
}

// Valid says whether id has the form of one. Anything else is never used as a
// name of a file.
func (id ID) Valid() bool {
	return len(id) == places && strings.Trim(string(id), "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}
