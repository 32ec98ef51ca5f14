//go:build linux

package confine

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// try is a call to make. None does harm where it is allowed: its arguments
// are wrong, or its effect is the process's own.
type try struct {
	Row, Call, Note string
	args            [6]uintptr
}

// nonsense is arguments that the kernel refuses when it gets to see them.
var nonsense = [6]uintptr{^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0)}

// high is a bit that the kernel does not look at in an int.
const high = 1 << 32

// allowed marks what must not be refused.
const allowed = ""

// tries are for each call of each row at least one, and what is allowed right
// beside.
func tries() ([]try, error) {
	d, err := newDoors()
	if err != nil {
		return nil, err
	}
	special := []try{
		{"clone-namespaces", "clone", "user", args(unix.CLONE_NEWUSER | unix.CLONE_THREAD)},
		{"clone-namespaces", "clone", "net", args(unix.CLONE_NEWNET | unix.CLONE_THREAD)},
		{"clone-namespaces", "clone", "mount among others", args(unix.CLONE_NEWNS | unix.CLONE_FILES | unix.CLONE_THREAD)},
		{"clone-namespaces", "clone", "high bit", args(high | unix.CLONE_NEWPID | unix.CLONE_THREAD)},
		{allowed, "clone", "impossible flags", args(unix.CLONE_THREAD)},
		{"device-nodes", "mknod", "null", args(d.path("null"), unix.S_IFCHR|0o600, 0x103)},
		{"device-nodes", "mknod", "disk", args(d.path("disk"), unix.S_IFBLK|0o600, 0x700)},
		{"device-nodes", "mknod", "high bit", args(d.path("high"), high|unix.S_IFCHR|0o600, 0x103)},
		{allowed, "mknod", "fifo", args(d.path("fifo"), unix.S_IFIFO|0o600)},
		{"device-nodes-at", "mknodat", "null", args(cwd, d.path("null-at"), unix.S_IFCHR|0o600, 0x103)},
		{"device-nodes-at", "mknodat", "bit above the mode", args(cwd, d.path("high-at"), 1<<16|unix.S_IFCHR|0o600, 0x103)},
		{allowed, "mknodat", "fifo", args(cwd, d.path("fifo-at"), unix.S_IFIFO|0o600)},
		{allowed, "mknodat", "file", args(cwd, d.path("file-at"), 0o600)},
		{"subvolumes", "ioctl", "create a snapshot", args(d.file, 0x50009417, d.memory)},
		{"subvolumes", "ioctl", "high bit", args(d.file, high|0x50009417, d.memory)},
		{allowed, "ioctl", "FICLONE", args(d.file, unix.FICLONE, ^uintptr(0))},
		{"personality", "personality", "READ_IMPLIES_EXEC", args(0x0400000)},
		{"personality", "personality", "MMAP_PAGE_ZERO, high bit", args(high | 0x0100000)},
		{allowed, "personality", "query", args(perQuery)},
		{allowed, "personality", "fixed addresses", args(addrNoRandomize)},
		{"huge-pages", "mmap", "2 MiB", args(0, 2<<20, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_HUGETLB, ^uintptr(0), 0)},
		{"huge-pages", "mmap", "a size that no machine has", args(0, 2<<20, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_HUGETLB|13<<26, ^uintptr(0), 0)},
		{allowed, "mmap", "ordinary pages", args(^uintptr(0), 0, 0, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)},
		{"huge-page-files", "memfd_create", "2 MiB", args(d.path("huge"), unix.MFD_CLOEXEC|unix.MFD_HUGETLB|21<<26)},
		{"huge-page-files", "memfd_create", "high bit", args(d.path("huge"), high|unix.MFD_HUGETLB)},
		{allowed, "memfd_create", "no name", args(0, unix.MFD_CLOEXEC)},
		{"huge-page-segments", "shmget", "private", args(0, 2<<20, shmHugeTLB|unix.IPC_CREAT|0o600)},
		{"huge-page-segments", "shmget", "of no size", args(0, 0, shmHugeTLB|unix.IPC_CREAT)},
		{allowed, "shmget", "of no size", args(0, 0, unix.IPC_CREAT)},
		{"reserved-disk", "fallocate", "a page", args(d.file, 0, 0, 4096)},
		{"reserved-disk", "fallocate", "beyond the end, high bit", args(d.file, high|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)},
		{"reserved-disk", "fallocate", "zeros", args(d.file, unix.FALLOC_FL_ZERO_RANGE, 0, 4096)},
		{allowed, "fallocate", "a hole", args(d.file, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)},
		{"reserved-disk-ioctl", "ioctl", "RESVSP", args(d.file, fsIocResvsp, ^uintptr(0))},
		{"reserved-disk-ioctl", "ioctl", "RESVSP64, high bit", args(d.file, high|fsIocResvsp64, ^uintptr(0))},
		{"reserved-disk-ioctl", "ioctl", "ZERO_RANGE", args(d.file, fsIocZeroRange, ^uintptr(0))},
		{"modify_ldt", "modify_ldt", "read", args(0)},

		{"socket-families", "socket", "packet", args(unix.AF_PACKET, unix.SOCK_DGRAM)},
		{"socket-families", "socket", "packet, high bit", args(high|unix.AF_PACKET, unix.SOCK_DGRAM)},
		{"socket-families", "socket", "vsock", args(unix.AF_VSOCK, unix.SOCK_STREAM)},
		{"socket-families", "socket", "alg", args(unix.AF_ALG, unix.SOCK_SEQPACKET)},
		{"socket-families", "socket", "minus one", nonsense},
		{"socketpair-families", "socketpair", "tipc", args(unix.AF_TIPC, unix.SOCK_SEQPACKET, 0, d.memory)},
		{"socketpair-families", "socketpair", "key, high bit", args(high|unix.AF_KEY, unix.SOCK_RAW, 2, d.memory)},
		{"socketpair-families", "socketpair", "minus one", nonsense},
		{allowed, "socketpair", "unix", args(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0, d.memory)},
		{"raw-sockets", "socket", "inet", args(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)},
		{"raw-sockets", "socket", "inet with flags and high bits", args(high|unix.AF_INET, high|unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)},
		{"raw-sockets", "socket", "inet6", args(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)},
		{"raw-sockets", "socket", "inet packet", args(unix.AF_INET, unix.SOCK_PACKET, 768)},
		{"inet-protocols", "socket", "ping", args(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)},
		{"inet-protocols", "socket", "mptcp, high bit", args(unix.AF_INET, unix.SOCK_STREAM, high|unix.IPPROTO_MPTCP)},
		{"inet-protocols", "socket", "sctp", args(unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_SCTP)},
		{"netlink-protocols", "socket", "netfilter", args(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)},
		{"netlink-protocols", "socket", "generic, high bits", args(high|unix.AF_NETLINK, unix.SOCK_RAW, high|unix.NETLINK_GENERIC)},
		{"netlink-protocols", "socket", "kobject events", args(unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_KOBJECT_UEVENT)},
		{allowed, "socket", "unix", args(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)},
		{allowed, "socket", "tcp", args(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)},
		{allowed, "socket", "udp", args(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP)},
		{allowed, "socket", "tcp6", args(unix.AF_INET6, unix.SOCK_STREAM)},
		{allowed, "socket", "route", args(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)},
		{"tcp-ulp", "setsockopt", "tls", args(d.socket, unix.IPPROTO_TCP, unix.TCP_ULP, d.memory, 4)},
		{"tcp-ulp", "setsockopt", "high bits", args(d.socket, high|unix.IPPROTO_TCP, high|unix.TCP_ULP, d.memory, 4)},
		{allowed, "setsockopt", "no delay", args(d.socket, unix.IPPROTO_TCP, unix.TCP_NODELAY, d.memory, 4)},

		{"terminal-input", "ioctl", "TIOCSTI", args(d.terminal, unix.TIOCSTI, d.memory)},
		{"terminal-input", "ioctl", "TIOCSTI, high bit", args(d.terminal, high|unix.TIOCSTI, d.memory)},
		{"terminal-input", "ioctl", "TIOCLINUX", args(d.terminal, tiocLinux, d.memory)},
		{"terminal-lines", "ioctl", "TIOCSETD", args(d.terminal, unix.TIOCSETD, d.memory)},
		{"terminal-lines", "ioctl", "TIOCCONS", args(d.file, unix.TIOCCONS)},
		{allowed, "ioctl", "TIOCGWINSZ", args(d.terminal, unix.TIOCGWINSZ, d.memory)},
		{allowed, "ioctl", "TCGETS", args(d.terminal, unix.TCGETS, d.memory)},
	}
	all := slices.Clone(special)
	for _, row := range Bottle().Bounded().Refused {
		for name := range strings.FieldsSeq(row.Calls) {
			if !slices.ContainsFunc(special, func(t try) bool { return t.Row == row.Name && t.Call == name }) {
				all = append(all, try{Row: row.Name, Call: name, args: nonsense})
			}
		}
	}
	return all, nil
}

const cwd = ^uintptr(99) // AT_FDCWD, -100

func args(list ...uintptr) (all [6]uintptr) {
	copy(all[:], list)
	return all
}

// doors are what some calls need to get anywhere.
type doors struct {
	file, socket, terminal, memory uintptr
	kept                           []*byte
}

func newDoors() (*doors, error) {
	memory := make([]byte, 4096)
	d := &doors{kept: []*byte{&memory[0]}, memory: uintptr(unsafe.Pointer(&memory[0]))}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	file, err := unix.Open(filepath.Join(dir, "file"), unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a file: %w", err)
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	terminal, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	d.file, d.socket, d.terminal = uintptr(file), uintptr(socket), uintptr(terminal)
	return d, nil
}

// path is a name in the working directory, where nothing is yet.
func (d *doors) path(name string) uintptr {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		panic(err)
	}
	d.kept = append(d.kept, p)
	return uintptr(unsafe.Pointer(p))
}

// tried is a try's answer.
type tried struct {
	try
	Errno unix.Errno
}

// tryAll tries the bottle's table, and prints the answers.
func tryAll(w io.Writer) error {
	all, err := tries()
	if err != nil {
		return err
	}
	return makeTries(w, all)
}

// makeTries makes those calls that the architecture has, on one thread.
func makeTries(w io.Writer, all []try) error {
	numbers := map[string]uintptr{}
	for _, c := range native().calls {
		numbers[c.name] = uintptr(c.number)
	}
	runtime.LockOSThread()
	var answers []tried
	for _, t := range all {
		number, ok := numbers[t.Call]
		if !ok {
			continue
		}
		_, _, errno := unix.RawSyscall6(number, t.args[0], t.args[1], t.args[2], t.args[3], t.args[4], t.args[5])
		answers = append(answers, tried{t, errno})
	}
	return json.NewEncoder(w).Encode(answers)
}
