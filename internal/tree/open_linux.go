package tree

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// openBelow opens a directory below fd in one call that refuses links
// anywhere in path.
func openBelow(fd int, path string) (int, error) {
	return resolve(fd, path, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
}

// openChild opens the directory name in fd and refuses a mount point with
// EXDEV: what is mounted there is not part of the tree.
func openChild(fd int, name string) (int, error) {
	return resolve(fd, name, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
}

func resolve(fd int, path string, how uint64) (opened int, err error) {
	err = again(func() error {
		opened, err = unix.Openat2(fd, path, &unix.OpenHow{Flags: openDir, Resolve: how})
		return err
	})
	switch {
	case err == nil:
		return opened, nil
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		return walkDown(fd, path) // Linux before 5.6, or a seccomp filter that does not know openat2
	default:
		return -1, err
	}
}

// unlock makes the directory name in fd its owner's to read and change. It
// never changes what a link points to.
func unlock(fd int, name string) error {
	err := unix.Fchmodat(fd, name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
	if err != unix.EOPNOTSUPP { //nolint:errorlint // a bare errno
		return err
	}
	// Linux before 6.6 has no fchmodat2: hold the directory itself, without
	// reading it, and change it through its descriptor.
	held, err := openAt(fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(held) }()
	return unix.Fchmodat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", held), 0o700, 0)
}
