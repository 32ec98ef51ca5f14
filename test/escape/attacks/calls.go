//go:build linux

package attacks

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is one that kernels were taken by, or that changes what is the host's.
// Its arguments are wrong, or its effect is the process's own, so that where it
// is let through it does no harm: the kernel then answers something else than
// the refusals that refusals lists.
type call struct {
	name   string
	what   string
	number uintptr
	args   []uintptr
	// answer is how the filter refuses it, when refusals do not list that: the
	// kernel itself answers something else to these arguments.
	answer unix.Errno
}

// refusals are how a call is refused before anything looks at it.
var refusals = []unix.Errno{unix.EPERM, unix.ENOSYS, unix.EACCES}

const minusOne = ^uintptr(0)

func calls() []call {
	page := make([]byte, 4096)
	memory := uintptr(unsafe.Pointer(&page[0]))
	kept = append(kept, page)
	own := uintptr(os.Getpid()) //nolint:gosec // G115: a process id
	return []call{
		{name: "io_uring", what: "set up an io_uring, which goes around filters of calls", number: unix.SYS_IO_URING_SETUP, args: []uintptr{1, 0}},
		{name: "io_uring_enter", what: "use one", number: unix.SYS_IO_URING_ENTER, args: []uintptr{minusOne}},
		{name: "io_uring_register", what: "change one", number: unix.SYS_IO_URING_REGISTER, args: []uintptr{minusOne}},
		{name: "aio", what: "set up asynchronous input and output, of which the machine has one number for all users", number: unix.SYS_IO_SETUP, args: []uintptr{0, 0}},
		{name: "bpf", what: "load programs into the kernel", number: unix.SYS_BPF, args: []uintptr{minusOne, 0, 0}},
		{name: "perf", what: "watch the machine by performance counters", number: unix.SYS_PERF_EVENT_OPEN, args: []uintptr{0, 0, minusOne, minusOne, 0}},
		{name: "keyctl", what: "read and search keyrings", number: unix.SYS_KEYCTL, args: []uintptr{unix.KEYCTL_GET_KEYRING_ID, minusOne - 2, 0}},
		{name: "add_key", what: "add a key", number: unix.SYS_ADD_KEY, args: []uintptr{0, 0, 0, 0, minusOne}},
		{name: "request_key", what: "have the kernel start its helper for keys", number: unix.SYS_REQUEST_KEY, args: []uintptr{0, 0, 0, minusOne}},
		{name: "userfaultfd", what: "stop the kernel at a page of its own choice", number: unix.SYS_USERFAULTFD, args: []uintptr{minusOne}},
		{name: "init_module", what: "load a module", number: unix.SYS_INIT_MODULE, args: []uintptr{0, 0, memory}},
		{name: "finit_module", what: "load a module from a file", number: unix.SYS_FINIT_MODULE, args: []uintptr{minusOne, memory, 0}},
		{name: "delete_module", what: "unload a module", number: unix.SYS_DELETE_MODULE, args: []uintptr{memory, 0}},
		{name: "kexec_load", what: "start another kernel", number: unix.SYS_KEXEC_LOAD, args: []uintptr{0, minusOne, memory, minusOne}},
		{name: "reboot", what: "restart the machine (with numbers that no kernel takes)", number: unix.SYS_REBOOT, args: []uintptr{1, 2, 3, 0}},
		{name: "swapon", what: "swap to a file", number: unix.SYS_SWAPON, args: []uintptr{memory, 0}},
		{name: "acct", what: "have the kernel write a file of accounts", number: unix.SYS_ACCT, args: []uintptr{memory}},
		{name: "quotactl", what: "change quotas", number: unix.SYS_QUOTACTL, args: []uintptr{0x800007 << 8, memory, 0, memory}},
		{name: "settimeofday", what: "set the machine's clock (to a time that is none)", number: unix.SYS_SETTIMEOFDAY, args: []uintptr{minusOne - 4095, 0}},
		{name: "clock_settime", what: "set the machine's clock (to a time that is none)", number: unix.SYS_CLOCK_SETTIME, args: []uintptr{0, minusOne - 4095}},
		{name: "adjtimex", what: "change how the machine's clock runs (by nothing that it knows)", number: unix.SYS_ADJTIMEX, args: []uintptr{minusOne - 4095}},
		{name: "sethostname", what: "name the machine (too long)", number: unix.SYS_SETHOSTNAME, args: []uintptr{memory, 4096}},
		{name: "syslog", what: "read the kernel's log", number: unix.SYS_SYSLOG, args: []uintptr{3, memory, 4096}},
		{name: "fanotify", what: "watch whole file systems", number: unix.SYS_FANOTIFY_INIT, args: []uintptr{0, 0}},
		{name: "lookup_dcookie", what: "ask for paths by number", number: unix.SYS_LOOKUP_DCOOKIE, args: []uintptr{0, memory, 4096}},
		{name: "name_to_handle_at", what: "make a handle of a file", number: unix.SYS_NAME_TO_HANDLE_AT, args: []uintptr{cwd, memory, memory, memory, minusOne}},
		{name: "open_by_handle_at", what: "open a file of the host by its handle (shocker)", number: unix.SYS_OPEN_BY_HANDLE_AT, args: []uintptr{minusOne, memory, 0}},
		{name: "kcmp", what: "compare what processes have", number: unix.SYS_KCMP, args: []uintptr{own, own, 0, 0, 1}},
		{name: "ptrace", what: "be traced", number: unix.SYS_PTRACE, args: []uintptr{unix.PTRACE_TRACEME, 0, 0, 0}},
		{name: "process_madvise", what: "steer another process' memory", number: unix.SYS_PROCESS_MADVISE, args: []uintptr{minusOne, memory, 1, 0, 0}},
		{name: "migrate_pages", what: "move another process' memory", number: unix.SYS_MIGRATE_PAGES, args: []uintptr{own, 0, 0, 0}},
		{name: "vhangup", what: "hang up a terminal", number: unix.SYS_VHANGUP},
		{name: "memfd_secret", what: "memory that the host cannot see", number: unix.SYS_MEMFD_SECRET, args: []uintptr{minusOne}},
		{name: "huge_pages", what: "take huge pages that the machine has set aside, which no limit of memory counts", number: unix.SYS_MEMFD_CREATE, args: []uintptr{memory, unix.MFD_HUGETLB}, answer: unix.ENOMEM},
		{name: "huge_pages_mmap", what: "map huge pages (of a size that no machine has)", number: unix.SYS_MMAP, args: []uintptr{0, 2 << 20, unix.PROT_READ, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_HUGETLB | 13<<unix.MAP_HUGE_SHIFT, minusOne, 0}, answer: unix.ENOMEM},
		{name: "huge_pages_shmget", what: "share huge pages (none of them)", number: unix.SYS_SHMGET, args: []uintptr{0, 0, 0o4000 | unix.IPC_CREAT}, answer: unix.ENOMEM},
		{name: "unassigned", what: "numbers that no kernel knows yet", number: 1 << 20},
	}
}

const cwd = ^uintptr(99) // AT_FDCWD, -100

// kept holds memory whose address a call was given.
var kept [][]byte

func callAttacks() []Attack {
	var list []Attack
	for _, c := range calls() {
		list = append(list, Attack{ID: "calls/" + c.name, What: c.what, try: func(context.Context, Targets) result { return c.make() }})
	}
	return list
}

func (c call) make() result {
	runtime.LockOSThread()
	var args [6]uintptr
	copy(args[:], c.args)
	_, _, errno := unix.Syscall6(c.number, args[0], args[1], args[2], args[3], args[4], args[5])
	if errno != 0 && (errno == c.answer || c.answer == 0 && slices.Contains(refusals, errno)) {
		return stopped("%v", errno)
	}
	if errno == 0 {
		return through("it worked")
	}
	return through("the kernel looked at it: %v", errno)
}

// refused says whether an error is a refusal.
func refused(err error) bool {
	var errno unix.Errno
	return errors.As(err, &errno) && slices.Contains(refusals, errno)
}
