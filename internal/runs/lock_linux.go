package runs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Locks are open file description locks (fcntl(2), F_OFD_SETLK): the kernel
// drops them when the descriptor's last copy is closed, so also when the
// process is killed, and unlike with flock one can ask who holds one without
// taking it for a moment oneself.

// acquire takes the lock of file fd, shared or for itself alone, without
// waiting. ErrLocked says that another holds it.
func acquire(fd int, shared bool) error { return setLock(fd, shared, unix.F_OFD_SETLK) }

// await is acquire, waiting until the lock is free.
func await(fd int, shared bool) error {
	for {
		err := setLock(fd, shared, unix.F_OFD_SETLKW)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func setLock(fd int, shared bool, command int) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if shared {
		lock.Type = unix.F_RDLCK
	}
	err := unix.FcntlFlock(uintptr(fd), command, &lock)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	return err
}

// held says whether another holds the lock of file fd.
func held(fd int) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &lock); err != nil {
		return false, err
	}
	return lock.Type != unix.F_UNLCK, nil
}
