//go:build linux

package confine

// ordinary is what programs of every kind need, and what reaches no further
// than the process, its files and its sockets.
func ordinary() []Family {
	return []Family{
		{"processes", `fork vfork clone execve execveat exit exit_group wait4 waitid kill tkill tgkill pidfd_open pidfd_send_signal
			getpid getppid gettid getpgid setpgid getpgrp getsid setsid set_tid_address restart_syscall pause
			prctl arch_prctl seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self personality`},
		{"memory", `brk mmap munmap mremap mprotect madvise mincore msync mlock mlock2 munlock mlockall munlockall
			remap_file_pages memfd_create pkey_alloc pkey_free pkey_mprotect mseal map_shadow_stack
			get_mempolicy set_mempolicy set_mempolicy_home_node mbind`},
		{"threads and scheduling", `futex futex_wait futex_wake futex_waitv futex_requeue get_robust_list set_robust_list rseq membarrier
			sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
			sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval
			getpriority setpriority ioprio_get ioprio_set getcpu uprobe uretprobe`},
		{"signals", `rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn rt_sigsuspend
			rt_sigtimedwait sigaltstack signalfd signalfd4`},
		{"time", `time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep alarm getitimer setitimer times
			timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime`},
		{"identity and limits", `getuid geteuid getgid getegid getgroups getresuid getresgid setuid setgid setgroups setreuid setregid
			setresuid setresgid setfsuid setfsgid capget capset getrlimit setrlimit prlimit64 getrusage umask uname sysinfo getrandom`},
		{"files", `open openat openat2 creat close close_range read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2
			lseek truncate ftruncate fallocate fadvise64 readahead copy_file_range sendfile splice tee vmsplice
			fsync fdatasync sync syncfs sync_file_range flock fcntl ioctl dup dup2 dup3
			stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2
			getdents getdents64 readlink readlinkat getcwd chdir fchdir mkdir mkdirat rmdir mknod mknodat
			link linkat symlink symlinkat unlink unlinkat rename renameat renameat2
			chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat
			getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat
			listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat
			inotify_init inotify_init1 inotify_add_watch inotify_rm_watch`},
		{"waiting", `poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
			eventfd eventfd2 pipe pipe2`},
		{"sockets", `socket socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt
			sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg`},
		{"System V and POSIX messages", `shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl
			mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedreceive`},
	}
}
