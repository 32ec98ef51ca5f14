//go:build linux

package supervise

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigevent is struct sigevent of sigevent(3type); the zero notify is
// SIGEV_SIGNAL.
type sigevent struct {
	value  uint64
	signal int32
	notify int32
	_      [48]byte
}

// within calls do, and has the kernel kill this process when that takes longer
// than patience. It is for what may stop all of the process's threads for
// good, so that no timer of its own would run: a call that each of them makes
// (syscall.AllThreadsSyscall) is asked for by a signal that is never sent when
// the user has as many signals pending as the limit allows, and then Go's
// runtime waits for it without end (sigqueue in getrlimit(2),
// RLIMIT_SIGPENDING). The timer (timer_create(2)) holds a place of its own
// among those; where there is none left do is not called.
func within(patience time.Duration, do func() error) error {
	var id int32
	event := sigevent{signal: int32(unix.SIGKILL)}
	//nolint:gosec // G103: pointers for the kernel, valid during the call
	_, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC,
		uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&id)))
	if errors.Is(errno, unix.EAGAIN) {
		return errors.New("your user has as many signals pending as it may (ulimit -i)")
	}
	if errno != 0 {
		return fmt.Errorf("create a timer: %w", errno)
	}
	defer unix.Syscall(unix.SYS_TIMER_DELETE, uintptr(id), 0, 0) //nolint:errcheck // it was created
	at := struct{ every, first unix.Timespec }{first: unix.NsecToTimespec(patience.Nanoseconds())}
	//nolint:gosec // G103: as above
	_, _, errno = unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(id), 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("set a timer: %w", errno)
	}
	return do()
}
