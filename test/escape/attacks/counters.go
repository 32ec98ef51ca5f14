//go:build linux

package attacks

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Counter is something that the kernel counts for a user, wherever the user's
// processes are.
type Counter struct {
	Name string
	What string
	// Watches says that a user namespace alone bounds it.
	Watches bool

	// one takes one more, and keeps it.
	one func() error
}

// Counters are those that a bottle is kept from taking whole.
func Counters() []Counter {
	return []Counter{
		{Name: "descriptors", What: "descriptors on their way through sockets", one: passDescriptors()},
		{Name: "signals", What: "queued signals, of which timers have one each", one: queueSignal},
		{Name: "messages", What: "queues of POSIX messages", one: openQueue()},
		{Name: "locked", What: "locked memory", one: lockSegment},
		{Name: "watches", What: "watches of files", Watches: true, one: func() error {
			_, err := unix.InotifyInit1(unix.IN_CLOEXEC)
			return err
		}},
	}
}

// mostOfACounter ends what nothing else does.
const mostOfACounter = 1 << 17

// TakeCounters takes all that there is of each, for as long as the process
// lives.
func TakeCounters(watches bool) map[string]Taken {
	runtime.LockOSThread() // a signal waits at a thread
	taken := map[string]Taken{}
	for _, c := range Counters() {
		if c.Watches && !watches {
			continue
		}
		n, err := 0, error(nil)
		for err == nil && n < mostOfACounter {
			if err = c.one(); err == nil {
				n++
			}
		}
		taken[c.Name] = Taken{n, errorText(err)}
	}
	return taken
}

// TryCounters takes two of each, and says for each that failed why.
func TryCounters() map[string]string {
	runtime.LockOSThread()
	failed := map[string]string{}
	for _, c := range Counters() {
		for range 2 {
			if err := c.one(); err != nil {
				failed[c.Name] = err.Error()
			}
		}
	}
	return failed
}

// passDescriptors sends one message full of descriptors, which nobody receives.
func passDescriptors() func() error {
	const full = 253 // SCM_MAX_FD
	var pair [2]int
	sent := -1
	return func() (err error) {
		if sent < 0 || sent == 64 {
			if pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
				return err
			}
			sent = 0
		}
		sent++
		fds := make([]int, full)
		for i := range fds {
			fds[i] = pair[0]
		}
		return unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(fds...), nil, 0)
	}
}

// queueSignal queues one at this thread, where it is blocked.
func queueSignal() error {
	const signal = 40 // a real-time one
	var set unix.Sigset_t
	set.Val[0] = 1 << (signal - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
		return err
	}
	// siginfo_t of sigqueue(3): signal, errno, code, padding, pid, uid.
	info := [32]int32{signal, 0, -1, 0, int32(os.Getpid()), int32(os.Getuid())} //nolint:gosec // G115: ids
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(os.Getpid()), uintptr(unix.Gettid()), signal, uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// openQueue makes a queue of messages that is as large as the default one.
func openQueue() func() error {
	n := 0
	return func() error {
		n++
		name, err := unix.BytePtrFromString(fmt.Sprintf("escape-%d-%d", os.Getpid(), n))
		if err != nil {
			return err
		}
		attributes := [8]int64{1: 10, 2: 8192} // mq_attr: flags, messages, size of each
		_, _, errno := unix.RawSyscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600,
			uintptr(unsafe.Pointer(&attributes)), 0, 0)
		if errno != 0 {
			return errno
		}
		_, _, errno = unix.RawSyscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)), 0, 0) // it lives as long as it is open
		if errno != 0 {
			return errno
		}
		return nil
	}
}

// shmLock is SHM_LOCK of shmctl(2).
const shmLock = 11

// lockSegment locks a segment of shared memory.
func lockSegment() error {
	const size = 64 << 10
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, size, unix.IPC_CREAT|0o600)
	if err != nil {
		return err
	}
	memory, err := unix.SysvShmAttach(id, 0, 0)
	if err == nil {
		_, err = unix.SysvShmCtl(id, shmLock, nil)
	}
	// It goes with the last process that has it.
	_, removed := unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	kept = append(kept, memory)
	return errors.Join(err, removed)
}
