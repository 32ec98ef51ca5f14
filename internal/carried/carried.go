// Package carried is the program that a build of claude-bottle carries for what
// runs in bottles: cmd/part, for Linux, compressed. It starts in half the time of
// the whole program, of which a bottle starts several, and is there on hosts whose
// own programs no bottle can run. Command build puts it in; a plain `go build`
// carries nothing, and then the whole program is what bottles get.
package carried

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
)

// part is empty in the source: a build lays the program over it.
//
//go:embed part.gz
var part []byte

// There says whether this build carries the program.
func There() bool { return len(part) > 0 }

// Open reads the program, if it is there.
func Open() (io.ReadCloser, error) { return gzip.NewReader(bytes.NewReader(part)) }
