// Package carried is the programs that a build of claude-bottle carries for
// bottles, for Linux, compressed. Command build puts them in; a plain `go build`
// carries nothing, and then the whole program is what bottles get.
package carried

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
)

// Files are empty in the source: a build lays programs over them.
var (
	//go:embed guest.gz
	guest []byte
	//go:embed gateway.gz
	gateway []byte
)

// Program is one that may be carried.
type Program struct{ data []byte }

// Guest is cmd/guest, what runs in bottles: it starts in less time than the whole
// program, and a launch waits for several starts of it.
func Guest() Program { return Program{guest} }

// Gateway is cmd/part, for builds for hosts whose own program no container can
// run. One for Linux is the gateway itself.
func Gateway() Program { return Program{gateway} }

// There says whether this build carries the program.
func (p Program) There() bool { return len(p.data) > 0 }

// Open reads the program, if it is there.
func (p Program) Open() (io.ReadCloser, error) { return gzip.NewReader(bytes.NewReader(p.data)) }
