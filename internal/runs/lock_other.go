//go:build !linux

package runs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// acquire takes the lock of file fd, shared or for itself alone, without
// waiting. ErrLocked says that another holds it. The kernel drops a flock when
// the descriptor's last copy is closed, so also when the process is killed.
func acquire(fd int, shared bool) error { return setLock(fd, shared, unix.LOCK_NB) }

// await is acquire, waiting until the lock is free.
func await(fd int, shared bool) error {
	for {
		err := setLock(fd, shared, 0)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func setLock(fd int, shared bool, flags int) error {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	err := unix.Flock(fd, how|flags)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// held says whether another holds the lock of file fd. A flock can only be
// asked for by taking it, shared: two that ask do not see each other.
func held(fd int) (bool, error) {
	err := acquire(fd, true)
	if errors.Is(err, ErrLocked) {
		return true, nil
	}
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_UN)
	}
	return false, err
}
