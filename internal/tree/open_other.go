//go:build !linux

package tree

import "golang.org/x/sys/unix"

func openBelow(fd int, path string) (int, error) { return walkDown(fd, path) }

func openChild(fd int, name string) (int, error) { return openAt(fd, name, openDir) }

func unlock(fd int, name string) error {
	return unix.Fchmodat(fd, name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
}
