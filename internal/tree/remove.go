package tree

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// passes is how often Remove starts anew when something was put into a
// directory while it was emptied.
const passes = 8

// Remove removes name in fd with all that is in it. It never leaves the tree:
// links go as links, and a mount point is an error that leaves what is
// mounted untouched. What is missing already is success.
func Remove(ctx context.Context, fd int, name string) error {
	err := unlink(fd, name)
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return failure("remove", name, err)
	}
	for range passes {
		err = empty(ctx, fd, name)
		if err != nil && ctx.Err() != nil {
			return failure("remove", name, ctx.Err())
		}
		gone := unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
		if gone == nil || errors.Is(gone, unix.ENOENT) {
			return nil
		}
		if err == nil {
			err = failure("remove", name, gone)
		}
		if !errors.Is(gone, unix.ENOTEMPTY) && !errors.Is(gone, unix.EEXIST) {
			return err
		}
	}
	return err
}

// empty removes what is in the directory name of fd, and returns the first
// thing that stood in the way after it went on with the rest.
func empty(ctx context.Context, fd int, name string) error {
	if stat, err := Stat(fd, name); err == nil && stat.Mode&0o700 != 0o700 {
		_ = unlock(fd, name) // opening it tells why not
	}
	dir, err := openChild(fd, name)
	if err != nil {
		return failure("remove", name, err)
	}
	defer func() { _ = unix.Close(dir) }()
	var first error
	note := func(name string, err error) error {
		if first == nil {
			first = err
		}
		return nil
	}
	walk := Walk{
		Unlock: true,
		Fault:  note,
		Enter: func(fd int, entry Entry) (bool, error) {
			if IsDir(&entry.Stat) {
				return true, nil
			}
			if err := unlink(fd, entry.Name); err != nil {
				return false, note(entry.Name, failure("remove", entry.Name, err))
			}
			return false, nil
		},
		Leave: func(fd int, name string) error {
			err := unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
			if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTEMPTY) {
				return nil // not empty: what is in it was noted, or the next pass meets it
			}
			return note(name, failure("remove", name, err))
		},
	}
	if _, err := walk.Run(ctx, dir); err != nil {
		return err
	}
	return first
}

func unlink(fd int, name string) error {
	err := again(func() error { return unix.Unlinkat(fd, name, 0) })
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
