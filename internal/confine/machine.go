//go:build linux

package confine

import "golang.org/x/sys/unix"

// machine is what belongs to the host's administrator.
func machine() []Row {
	return []Row{
		{"modules", "init_module finit_module delete_module", nil, unix.EPERM, "kernel modules", "code in the kernel"},
		{"kexec", "kexec_load kexec_file_load reboot", nil, unix.EPERM, "`kexec`, `reboot`", "another kernel, or none"},
		{
			"clock", "settimeofday clock_settime clock_adjtime adjtimex", nil, unix.EPERM,
			"setting the clock", "certificates are checked by it, and the record tells by it when things happened",
		},
		{"kernel-log", "syslog", nil, unix.EPERM, "the kernel's log", "addresses in the kernel, and what other bottles and the host do"},
		{
			"administration", "swapon swapoff acct quotactl quotactl_fd sethostname setdomainname vhangup", nil, unix.EPERM,
			"swap, accounting, quotas, the host's name", "the machine's, not the bottle's",
		},
		{"ports", "iopl ioperm", nil, unix.EPERM, "I/O ports", "the hardware"},
	}
}

// absent are calls that answer as if they were not there.
func absent() []Row {
	return []Row{
		{
			"forgotten", `_sysctl uselib ustat sysfs create_module get_kernel_syms query_module nfsservctl getpmsg putpmsg afs_syscall
				tuxcall security vserver epoll_ctl_old epoll_wait_old lookup_dcookie set_thread_area get_thread_area`, nil, unix.ENOSYS,
			"calls that Linux had once or never", "nobody looks after them, and nobody uses them",
		},
		{
			"young", `cachestat memfd_secret statmount listmount listns lsm_get_self_attr lsm_set_self_attr lsm_list_modules
				file_getattr file_setattr rseq_slice_yield`, nil, unix.ENOSYS,
			"calls that no program needs yet", "what is new has its holes before it; programs take the way they took on older kernels",
		},
	}
}
