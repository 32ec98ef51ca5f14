//go:build linux

package confine

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Apply puts the policy on every thread of the process, and so on everything
// that it starts, for good. What it needs besides is that a setuid program
// gains nothing any more (no-new-privileges). After an error the process must
// not go on: the kernel does not enforce the policy.
func (p Policy) Apply() error {
	program, err := p.compile(native())
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, instruction := range program {
		filter[i] = unix.SockFilter{Code: instruction.Op, Jt: instruction.Jt, Jf: instruction.Jf, K: instruction.K}
	}
	// no-new-privileges is a thread's own; the filter carries it to the others.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("confine: give up new privileges: %w", err)
	}
	if err := install(filter); err != nil {
		return fmt.Errorf("confine: install the seccomp filter: %w", err)
	}
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("confine: ask for the seccomp mode: %w", err)
	}
	if mode != unix.SECCOMP_MODE_FILTER {
		return fmt.Errorf("confine: the kernel took the seccomp filter and does not apply it (mode %d)", mode)
	}
	return nil
}

func install(filter []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	switch {
	case errno == unix.ENOSYS, errno == unix.EINVAL:
		return fmt.Errorf("the kernel has no seccomp filters, or another sandbox forbids them: %w", errno)
	case errno != 0:
		return errno
	case thread != 0:
		return fmt.Errorf("thread %d has a filter of its own", thread)
	}
	return nil
}
