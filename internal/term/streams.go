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
	is := false
	file, ok := fileOf(stream)
	if !ok {
		return false
	}
	err := onDescriptor(file, func(fd int) error {
		is = term.IsTerminal(fd)
		return nil
	})
	return is && err == nil
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

// onDescriptor runs f on the file's descriptor. Unlike Fd it may run beside a
// Read, and leaves the file's mode alone.
func onDescriptor(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil { //nolint:gosec // G115: a descriptor
		return err
	}
	return inner
}
