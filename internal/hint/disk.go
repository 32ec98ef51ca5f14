package hint

import (
	"errors"
	"syscall"
)

// Disk adds to an error of the file system what a person can do about a disk
// that is full or cannot be written to. Other errors, and those that have a
// hint already, stay as they are.
func Disk(err error) error {
	switch {
	case err == nil || Of(err) != "":
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return With(err, "free some space on that disk, or remove the remains of old runs: claude-bottle cleanup")
	case errors.Is(err, syscall.EROFS):
		return With(err, "set XDG_STATE_HOME to a directory that can be written to")
	default:
		return err
	}
}
