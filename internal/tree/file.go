package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrIrregular says that what has a file's name is none: a link, a directory, a
// pipe, which would be waited for.
var ErrIrregular = errors.New("it is not a file")

// OpenFile opens the file path for reading. Links on the way to path are
// followed; ErrIrregular says that path itself is one, or no file.
func OpenFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO): // a link; a socket
		return nil, &fs.PathError{Op: "open", Path: path, Err: ErrIrregular}
	case err != nil:
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = file.Close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.Join(err, ErrIrregular)}
	}
	return file, nil
}

// ReadFile reads the file path, as OpenFile opens it. One of more than most bytes
// is an error.
func ReadFile(path string, most int64) ([]byte, error) {
	file, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is longer than %d bytes", most)}
	}
	return data, err
}
