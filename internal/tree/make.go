package tree

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// Owner is who a made thing belongs to. Nobody can give a file away but root:
// for another owner than the caller, making it fails.
type Owner struct{ UID, GID int }

// MakeDir makes the directory path below fd and those above it that are
// missing, each with mode (permission bits, whatever the umask) and owner, and
// opens it. One that exists stays as it is; a link in its place is an error.
func MakeDir(fd int, path string, mode fs.FileMode, owner Owner) (int, error) {
	if !Clean(path) {
		return -1, failure("make directory", path, ErrUnclean)
	}
	dir, owned := fd, false
	for element := range strings.SplitSeq(path, "/") {
		next, err := makeOne(dir, element, mode, owner)
		if owned {
			_ = unix.Close(dir)
		}
		if err != nil {
			return -1, failure("make directory", path, err)
		}
		dir, owned = next, true
	}
	return dir, nil
}

func makeOne(fd int, name string, mode fs.FileMode, owner Owner) (int, error) {
	err := again(func() error { return unix.Mkdirat(fd, name, 0o700) })
	existed := errors.Is(err, fs.ErrExist)
	if err != nil && !existed {
		return -1, err
	}
	dir, err := openAt(fd, name, openDir)
	if err != nil || existed {
		return dir, err
	}
	if err := Give(dir, mode, owner); err != nil {
		_ = unix.Close(dir)
		return -1, err
	}
	return dir, nil
}

// Give sets owner, then mode, of what fd is. The order matters: a change of
// owner clears bits of the mode.
func Give(fd int, mode fs.FileMode, owner Owner) error {
	if owner.UID != unix.Geteuid() || owner.GID != unix.Getegid() {
		if err := unix.Fchown(fd, owner.UID, owner.GID); err != nil {
			return failure("change the owner of", "", err)
		}
	}
	return unix.Fchmod(fd, uint32(mode.Perm()))
}
