//go:build linux

package confine

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Bottle is the policy of all that runs in a bottle.
func Bottle() Policy {
	return Policy{
		Name:    "bottle",
		Refused: slices.Concat(namespaces(), reach(), sockets(), terminals(), machine(), absent()),
		Allowed: ordinary(),
	}
}

// Nested is Bottle without the walls that a sandbox within a bottle has to pass:
// it may make namespaces and mounts. What it makes them for stays refused: no
// packet sockets, no netlink but route, no newer calls for mounts. Those are not
// there, as on an older kernel: mount(8) of util-linux 2.39 and later takes the
// older calls then, and after a refusal none (TestNested).
func Nested() Policy {
	p := Bottle()
	p.Name = "nested"
	p.Refused = slices.DeleteFunc(p.Refused, func(row Row) bool { return slices.Contains(lifted, row.Name) })
	for i := range p.Refused {
		if p.Refused[i].Name == newerMounts {
			p.Refused[i].Errno = unix.ENOSYS
		}
	}
	p.Allowed = append(slices.Clip(p.Allowed), Family{"sandboxes within", "unshare setns mount umount2 pivot_root chroot"})
	return p
}

// newerMounts is a row of Bottle that Nested has with another answer.
const newerMounts = "mount-api"

// lifted are rows of Bottle that Nested does not have.
var lifted = []string{"clone-namespaces", "enter-namespaces", "mounts"}

// Flags of clone(2) that make a namespace. CLONE_NEWTIME is none of them: its
// bit is part of the signal's number there.
const newNamespace = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// namespaces, mounts and files behind the file system's back.
func namespaces() []Row {
	return []Row{
		{
			"clone-namespaces", "clone",
			[]Condition{has(0, newNamespace)},
			unix.EPERM,
			"`clone` of a namespace",
			"in a user namespace of its own a process has every capability, and with them reaches the kernel's least tested " +
				"code (CVE-2022-0185, CVE-2023-32233, CVE-2024-1086); a network namespace hides its sockets",
		},
		{
			"clone3", "clone3", nil, unix.ENOSYS,
			"`clone3`", "its flags lie behind a pointer, which no filter can read; libraries then take `clone`",
		},
		{
			"enter-namespaces", "unshare setns", nil, unix.EPERM,
			"`unshare`, `setns`", "as `clone` of a namespace",
		},
		{
			"mounts", "mount umount2 pivot_root chroot", nil, unix.EPERM,
			"mounting, changing the root",
			"uncovers what a mount hides, read-only mounts and masked files of /proc among it; `chroot` twice leaves a root",
		},
		{
			newerMounts, "fsopen fsconfig fsmount fspick open_tree open_tree_attr move_mount mount_setattr", nil, unix.EPERM,
			"the newer calls for mounts", "as `mount`; parsing of options by `fsconfig` was a way out of containers (CVE-2022-0185)",
		},
		{
			"file-handles", "name_to_handle_at open_by_handle_at", nil, unix.EPERM,
			"files by handle", "a guessed handle opens any file of the file system below, whatever is mounted (the \"shocker\" escape of 2014)",
		},
		{
			"device-nodes", "mknod",
			[]Condition{is(1, unix.S_IFCHR, unix.S_IFBLK).of(unix.S_IFMT)},
			unix.EPERM,
			"`mknod` of a device", "a node of the host's disk is the host's disk; pipes and sockets are allowed",
		},
		{
			"device-nodes-at", "mknodat",
			[]Condition{is(2, unix.S_IFCHR, unix.S_IFBLK).of(unix.S_IFMT)},
			unix.EPERM,
			"`mknodat` of a device", "as `mknod`",
		},
		{
			"subvolumes", "ioctl",
			[]Condition{
				is(1, btrfsMagic<<8).of(0xff << 8),
				isNot(1, unix.FICLONE, unix.FICLONERANGE, unix.FIDEDUPERANGE),
			},
			unix.EPERM,
			"`ioctl` of btrfs, but for shared copies of files",
			"a read-only subvolume in the workspace is a directory that the host's owner of the files cannot simply remove",
		},
	}
}

// btrfsMagic is the type of the file system's ioctls (linux/btrfs.h); FICLONE
// and its like have it too, on every file system.
const btrfsMagic = 0x94

// reach is into the kernel and into other processes.
func reach() []Row {
	return []Row{
		{
			"io_uring", "io_uring_setup io_uring_enter io_uring_register", nil, unix.ENOSYS,
			"io_uring",
			"the kernel opens files and sockets of any family for a ring without asking the filter; and its own holes " +
				"(CVE-2022-29582, CVE-2023-2598)",
		},
		{
			"aio", "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents", nil, unix.ENOSYS,
			"asynchronous input and output by `io_setup` (libaio)",
			"the machine has fs.aio-max-nr of it for all users together, and databases of the host need it; those inside go on without",
		},
		{"bpf", "bpf", nil, unix.EPERM, "`bpf`", "programs in the kernel past a verifier that errs (CVE-2021-3490, CVE-2022-23222)"},
		{
			"keyrings", "keyctl add_key request_key", nil, unix.EPERM,
			"kernel keyrings",
			"they belong to a uid, not to a container: the person's own keys on the host are in reach (CVE-2016-0728 took the kernel)",
		},
		{"perf", "perf_event_open", nil, unix.EPERM, "`perf_event_open`", "counters that watch others, and holes (CVE-2013-2094, CVE-2023-5717)"},
		{
			"userfaultfd", "userfaultfd", nil, unix.EPERM,
			"`userfaultfd`", "halts the kernel in the midst of a copy, by which its races are won; CVE-2018-18397",
		},
		{
			"trace", "ptrace", nil, unix.EPERM,
			"`ptrace`: strace, gdb", "a traced process does what the tracer likes, among it one of more rights (CVE-2019-13272)",
		},
		{
			"other-processes", "process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp", nil, unix.EPERM,
			"memory and descriptors of other processes", "a secret that was handed to one process is another's; a descriptor is a way out",
		},
		{
			"move-memory", "migrate_pages move_pages", nil, unix.EPERM,
			"where pages of memory are", "of other processes too; whether two share a page tells what a neighbour runs",
		},
		{
			"huge-pages", "mmap",
			[]Condition{has(3, unix.MAP_HUGETLB)},
			unix.ENOMEM,
			"`mmap` of huge pages that the machine has set aside (MAP_HUGETLB)",
			"no limit of memory counts them, and whoever set them aside needs them; huge pages that the kernel makes by itself are " +
				"allowed, and counted",
		},
		{
			"huge-page-files", "memfd_create",
			[]Condition{has(1, unix.MFD_HUGETLB)},
			unix.ENOMEM,
			"`memfd_create` of them (MFD_HUGETLB)", "as `mmap`",
		},
		{
			"huge-page-segments", "shmget",
			[]Condition{has(2, shmHugeTLB)},
			unix.ENOMEM,
			"`shmget` of them (SHM_HUGETLB)", "as `mmap`",
		},
		{
			"personality", "personality",
			[]Condition{isNot(0, perLinux, addrNoRandomize, perQuery)},
			unix.EPERM,
			"`personality`, but for asking, Linux's own, and fixed addresses",
			"memory that is executable when readable, or mapped at zero, unmakes defences (CVE-2009-1895); fixed addresses, " +
				"which sanitizers and debuggers ask for, weaken only the process itself",
		},
		{
			"modify_ldt", "modify_ldt", nil, unix.ENOSYS,
			"`modify_ldt`", "16-bit code alone needs it, and it took the kernel (CVE-2015-3290, CVE-2017-17053)",
		},
		{
			"fanotify", "fanotify_init fanotify_mark", nil, unix.EPERM,
			"fanotify", "watches a file system whole, and opens what others open; `inotify` is allowed",
		},
	}
}

// shmHugeTLB is SHM_HUGETLB of shmget(2).
const shmHugeTLB = 0o4000

// Of personality(2).
const (
	perLinux        = 0
	addrNoRandomize = 0x0040000
	perQuery        = 0xffffffff
)
