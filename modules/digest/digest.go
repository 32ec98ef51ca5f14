// Package digest stands in for the module of this name, of which the engine's
// client needs the type alone. That one compiles expressions in every process
// that has it, also where no engine is asked: here a digest is read by hand.
package digest

import (
	"errors"
	"strings"
)

// Digest is "algorithm:encoded", as an image's manifest is called.
type Digest string

// String is the digest as it is written.
func (d Digest) String() string { return string(d) }

// errForm is what Validate says of a digest that is none.
var errForm = errors.New("invalid checksum digest format")

// Sizes of what is encoded, in hexadecimal digits.
var sizes = map[string]int{"sha256": 64, "sha384": 96, "sha512": 128}

// Validate says whether d is well-formed: an algorithm of the image
// specification (descriptor.md, Digests) with as many lower-case hexadecimal
// digits as it has.
func (d Digest) Validate() error {
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	if size, known := sizes[algorithm]; !known || len(encoded) != size || strings.Trim(encoded, "0123456789abcdef") != "" {
		return errForm
	}
	return nil
}
