package tree

import (
	"strings"

	"golang.org/x/sys/unix"
)

const openDir = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// Open opens the directory path and returns its descriptor, which the caller
// closes. Links on the way to path are followed; path itself must not be one.
func Open(path string) (int, error) {
	fd, err := openAt(unix.AT_FDCWD, path, openDir)
	return fd, failure("open", path, err)
}

// OpenDir opens the directory path below fd; "" is fd's own directory. No
// element of path may be a link. A path of any length works.
func OpenDir(fd int, path string) (int, error) {
	if path == "" {
		dir, err := openAt(fd, ".", openDir)
		return dir, failure("open", path, err)
	}
	if !Clean(path) {
		return -1, failure("open", path, ErrUnclean)
	}
	dir, rest, owned := fd, path, false
	for {
		piece, tail := split(rest)
		next, err := openBelow(dir, piece)
		if owned {
			_ = unix.Close(dir)
		}
		if err != nil || tail == "" {
			return next, failure("open", path, err)
		}
		dir, rest, owned = next, tail, true
	}
}

// split cuts a path into a part that one system call takes and what is left.
func split(path string) (piece, tail string) {
	if len(path) <= PathMax {
		return path, ""
	}
	at := strings.LastIndexByte(path[:PathMax], '/')
	if at < 0 {
		return path, "" // one element: the kernel says that it is too long
	}
	return path[:at], path[at+1:]
}

// walkDown opens path below fd one element after the other, for kernels
// without openat2.
func walkDown(fd int, path string) (int, error) {
	dir, owned := fd, false
	for element := range strings.SplitSeq(path, "/") {
		next, err := openAt(dir, element, openDir)
		if owned {
			_ = unix.Close(dir)
		}
		if err != nil {
			return -1, err
		}
		dir, owned = next, true
	}
	return dir, nil
}

func openAt(fd int, name string, flags int) (opened int, err error) {
	err = again(func() error {
		opened, err = unix.Openat(fd, name, flags, 0)
		return err
	})
	if err != nil {
		return -1, err
	}
	return opened, nil
}

// Stat is fstatat without following a link.
func Stat(fd int, name string) (unix.Stat_t, error) {
	var stat unix.Stat_t
	err := again(func() error { return unix.Fstatat(fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW) })
	return stat, err
}

// IsDir says whether stat is a directory's.
func IsDir(stat *unix.Stat_t) bool { return stat.Mode&unix.S_IFMT == unix.S_IFDIR }
