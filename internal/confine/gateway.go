//go:build linux

package confine

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Gateway is the policy of a gateway, which holds a bottle's secrets and reads
// what strangers send: who takes it over finds no program to start and no way
// to bring one.
func Gateway() Policy {
	return Policy{
		Name:    "gateway",
		Refused: slices.Concat(confinedToItself(), Bottle().Refused),
		Allowed: []Family{
			{"threads", `clone exit exit_group futex gettid getpid tgkill set_robust_list rseq membarrier restart_syscall
				sched_yield sched_getaffinity getcpu prctl arch_prctl`},
			{"memory", `brk mmap munmap mremap mprotect madvise mincore`},
			{"signals", `rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending sigaltstack`},
			{"time", `clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday`},
			{"identity and limits", `getuid geteuid getgid getegid getppid getrlimit prlimit64 getrusage uname sysinfo getrandom`},
			{"files", `openat close read readv write writev pread64 pwrite64 lseek fstat newfstatat statx readlinkat getdents64
				getcwd fcntl flock fsync fdatasync ftruncate splice sendfile copy_file_range pipe2`},
			{"waiting", `epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 poll ppoll`},
			{"sockets", `socket bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt
				sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg`},
		},
	}
}

// confinedToItself keeps a process the program that it is.
func confinedToItself() []Row {
	return []Row{
		{
			"execution", "execve execveat", nil, unix.EPERM,
			"starting programs", "what was taken over could start another program, or itself again with other arguments",
		},
		{
			"processes", "clone",
			[]Condition{is(0, 0).of(unix.CLONE_THREAD)},
			unix.EPERM,
			"`clone` but for threads", "a process that outlives the gateway keeps its secrets and its sockets",
		},
		{"old-processes", "fork vfork", nil, unix.EPERM, "`fork`, `vfork`", "as `clone`"},
		{
			"new-code", "mmap mprotect",
			[]Condition{has(2, unix.PROT_EXEC)},
			unix.EPERM,
			"memory that can be executed", "code that came over the network; the program needs no more than it is",
		},
	}
}
