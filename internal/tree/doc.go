// Package tree handles directory trees that a bottle may have written: it
// opens, walks and removes them by descriptor, one name at a time. No link is
// ever followed, no mount point crossed, and neither depth, number nor names
// of what is in them can make it run out of descriptors, stack or memory.
// What the entries mean is its callers' business.
package tree

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// PathMax is the longest path, in bytes, that one system call takes
// (PATH_MAX less its terminating zero). What lies deeper in a tree has no path
// that a program could name.
const PathMax = 4095

// ErrUnclean says that a path is not relative, slash-separated and clean.
var ErrUnclean = errors.New("not a clean relative path")

// Clean reports whether path names something below a directory: relative,
// slash-separated, without empty, "." and ".." elements and without zero
// bytes. Bytes that are not UTF-8 are fine: names of files are bytes.
func Clean(path string) bool {
	if path == "" || strings.ContainsRune(path, 0) {
		return false
	}
	for element := range strings.SplitSeq(path, "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return true
}

// failure wraps err as the standard library does, so that errors.Is works for
// fs.ErrNotExist and the errno alike.
func failure(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// again repeats call while a signal interrupts it.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR { //nolint:errorlint // a bare errno
			return err
		}
	}
}
