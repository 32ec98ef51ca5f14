package term

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Streams are the person's, or a script's.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// IsTerminal tells whether a stream, or an Input made of one, is a terminal.
func IsTerminal(stream any) bool {
	file, ok := fileOf(stream)
	return ok && term.IsTerminal(int(file.Fd())) //nolint:gosec // G115: a descriptor
}

// Interactive tells whether a person can be asked: questions are printed on
// Err and answered on In.
func (s Streams) Interactive() bool { return IsTerminal(s.In) && IsTerminal(s.Err) }

// fileOf finds the file under a stream.
func fileOf(stream any) (*os.File, bool) {
	switch s := stream.(type) {
	case *os.File:
		return s, s != nil
	case *Input:
		return s.file, s.file != nil
	}
	return nil, false
}
