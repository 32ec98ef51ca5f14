package provision

import (
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/tree"
)

// Modes of the directories that Write makes: home is the agent's alone, what
// is in etc is mounted file by file and read by whoever runs inside.
const (
	homeMode fs.FileMode = 0o700
	etcMode  fs.FileMode = 0o755
)

// Write writes files below dir, a run's directory, each in the directory of
// its Root, with owner uid and gid and exactly its Mode, whatever the umask.
// Directories that are missing are made with the same owner. No link is ever
// followed, and a file that exists is an error: nothing is overwritten. On an
// error some files may have been written.
func Write(dir string, files []File, uid, gid int) error {
	fd, err := tree.Open(dir)
	if err != nil {
		return fmt.Errorf("write the bottle's files: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	owner := tree.Owner{UID: uid, GID: gid}
	for _, file := range files {
		if err := write(fd, file, owner); err != nil {
			return hint.Disk(fmt.Errorf("write %s/%s: %w", file.Root, file.Path, err))
		}
	}
	return nil
}

func write(fd int, file File, owner tree.Owner) error {
	mode, err := file.Root.mode()
	if err != nil {
		return err
	}
	if !tree.Clean(file.Path) {
		return tree.ErrUnclean
	}
	if file.Mode&^fs.ModePerm != 0 {
		return fmt.Errorf("mode %v has more than permission bits", file.Mode)
	}
	parent, err := tree.MakeDir(fd, path.Join(string(file.Root), path.Dir(file.Path)), mode, owner)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(parent) }()
	return create(parent, path.Base(file.Path), file, owner)
}

// create makes the file with no more rights than its owner's to read and
// write, so that a secret is at no time open to others, then gives it away.
func create(parent int, name string, file File, owner tree.Owner) (err error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(parent, name, flags, 0o600)
	if err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	out := os.NewFile(uintptr(fd), name)
	defer func() {
		if closed := out.Close(); err == nil {
			err = closed
		}
		if err != nil {
			_ = unix.Unlinkat(parent, name, 0)
		}
	}()
	if _, err := out.Write(file.Data); err != nil {
		return err
	}
	return tree.Give(fd, file.Mode, owner)
}

func (r Root) mode() (fs.FileMode, error) {
	switch r {
	case Home:
		return homeMode, nil
	case Etc:
		return etcMode, nil
	default:
		return 0, fmt.Errorf("%q is not a directory of a run that files go to", string(r))
	}
}
