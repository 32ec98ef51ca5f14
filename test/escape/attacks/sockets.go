//go:build linux

package attacks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/attack"
)

func socketAttacks() []Attack {
	return []Attack{
		{ID: "sockets/raw", What: "raw sockets of IPv4 and IPv6", try: opens(
			of{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, of{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
			of{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP}, of{unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
			of{unix.AF_INET, unix.SOCK_PACKET, 768},
		)},
		{ID: "sockets/packet", What: "packet sockets", try: opens(of{unix.AF_PACKET, unix.SOCK_RAW, 0}, of{unix.AF_PACKET, unix.SOCK_DGRAM, 0})},
		{ID: "sockets/ping", What: "ICMP without a raw socket", try: opens(of{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP}, of{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_ICMPV6})},
		{ID: "sockets/protocols", What: "other protocols over IP: SCTP, DCCP, UDP-Lite, MPTCP, SMC, L2TP", try: opens(
			of{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, of{unix.AF_INET, unix.SOCK_SEQPACKET, unix.IPPROTO_SCTP},
			of{unix.AF_INET, unix.SOCK_DCCP, unix.IPPROTO_DCCP}, of{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE},
			of{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}, of{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_L2TP},
			of{unix.AF_SMC, unix.SOCK_STREAM, 0},
		)},
		{ID: "sockets/netlink", What: "netlink beyond routes: netfilter, audit, generic, xfrm, kobject events", try: opens(
			of{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, of{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT},
			of{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC}, of{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM},
			of{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT}, of{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG},
		)},
		{ID: "sockets/families", What: "every other family of sockets: vsock, alg, bluetooth, can, tipc and the rest", try: otherFamilies},
		{ID: "sockets/routes", What: "change addresses and routes over netlink", try: changeRoutes},
		{ID: "sockets/high-bits", What: "families and types with bits that the kernel does not look at", try: highBits},
		{ID: "unix/abstract", What: "connect to unix sockets without a file, of the host and of the neighbour", try: abstractSockets},
		{ID: "unix/files", What: "connect to every unix socket that a file in the bottle names", try: fileSockets},
		{ID: "unix/inherited", What: "find descriptors that were left open for it", try: inherited},
	}
}

// of is a kind of socket: family, type, protocol.
type of struct{ family, kind, protocol int }

func opens(kinds ...of) func(context.Context, Targets) result {
	return func(context.Context, Targets) result {
		var last error
		for _, k := range kinds {
			fd, err := unix.Socket(k.family, k.kind|unix.SOCK_CLOEXEC, k.protocol)
			if err == nil {
				_ = unix.Close(fd)
				return through("a socket of family %d, type %d, protocol %d", k.family, k.kind, k.protocol)
			}
			last = err
		}
		return stopped("%d tried: %v", len(kinds), last)
	}
}

func otherFamilies(context.Context, Targets) result {
	tried := 0
	for family := range 64 {
		switch family {
		case unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK:
			continue
		}
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_RDM, unix.SOCK_SEQPACKET, unix.SOCK_DCCP} {
			fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
			if tried++; err == nil {
				_ = unix.Close(fd)
				return through("a socket of family %d, type %d", family, kind)
			}
		}
	}
	return stopped("%d tried", tried)
}

// changeRoutes asks the kernel for a new link, which needs a right that a
// bottle has not; the message is whole, so that right alone is in the way.
func changeRoutes(context.Context, Targets) result {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return stopped("no such socket: %v", err)
	}
	defer func() { _ = unix.Close(fd) }()
	// nlmsghdr, then ifinfomsg, of RTM_NEWLINK with NLM_F_REQUEST, ACK, CREATE: a
	// link without a kind, which no kernel makes.
	message := make([]byte, 32)
	message[0], message[4], message[6], message[7] = 32, unix.RTM_NEWLINK, unix.NLM_F_REQUEST|unix.NLM_F_ACK, unix.NLM_F_CREATE>>8
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return stopped("%v", err)
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < 20 {
		return stopped("no answer: %v", err)
	}
	// The errno of a nlmsgerr is negative.
	errno := unix.Errno(-int32(uint32(answer[16]) | uint32(answer[17])<<8 | uint32(answer[18])<<16 | uint32(answer[19])<<24)) //nolint:gosec // G115: as the kernel writes it
	switch errno {
	case unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.ENOSYS:
		if errno == unix.EOPNOTSUPP && os.Getuid() == 0 {
			return through("the kernel looked at it: %v", errno)
		}
		return stopped("%v", errno)
	}
	return through("the kernel looked at it: %v", errno)
}

func highBits(context.Context, Targets) result {
	const high = 1 << 32
	for _, k := range [][3]uintptr{
		{high | unix.AF_PACKET, unix.SOCK_DGRAM, 0},
		{high | unix.AF_INET, high | unix.SOCK_RAW, unix.IPPROTO_RAW},
		{unix.AF_INET, unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, high | unix.IPPROTO_ICMP},
		{high | unix.AF_VSOCK, unix.SOCK_STREAM, 0},
	} {
		fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, k[0], k[1], k[2])
		if errno == 0 {
			_ = unix.Close(int(fd)) //nolint:gosec // G115: a descriptor
			return through("a socket of %x", k)
		}
	}
	return stopped("the kernel compares as many bits as it takes")
}

func abstractSockets(ctx context.Context, t Targets) result {
	names := t.Abstract
	if list, err := os.ReadFile("/proc/net/unix"); err == nil {
		for line := range strings.Lines(string(list)) {
			if _, name, ok := strings.Cut(line, " @"); ok {
				names = append(names, "@"+strings.TrimSpace(name))
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	for _, name := range names {
		for _, network := range []string{"unix", "unixpacket"} {
			if said, answers := talks(ctx, network, name); answers {
				return through("%s: %s", name, said)
			}
		}
	}
	if len(names) == 0 {
		return absent("none is known")
	}
	return stopped("%d tried, none there", len(names))
}

// fileSockets walks what there is of files.
func fileSockets(ctx context.Context, _ Targets) result {
	found := 0
	var open result
	_ = filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read hides nothing that could be connected to
		}
		if entry.IsDir() && (path == "/proc" || path == "/sys" || ctx.Err() != nil) {
			return fs.SkipDir
		}
		if entry.Type()&fs.ModeSocket == 0 {
			return nil
		}
		found++
		if said, answers := talks(ctx, "unix", path); answers {
			open = through("%s: %s", path, said)
			return fs.SkipAll
		}
		return nil
	})
	if open.outcome == Through {
		return open
	}
	return stopped("%d found, none that talks", found)
}

// talks says whether somebody at a socket keeps a connection that nobody knows.
// What is the bottle's own guest's refuses who is not its launcher: it closes at
// once, without a word.
func talks(ctx context.Context, network, path string) (string, bool) {
	conn, err := new(net.Dialer).DialContext(ctx, network, path)
	if err != nil {
		return attack.Plain(err), false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(silence))
	_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")) // who closed is seen below
	n, err := conn.Read(make([]byte, 64))
	if n == 0 && err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return attack.Plain(err), false
	}
	return fmt.Sprintf("%d bytes came back", n), true
}

// inherited looks at the descriptors of the process that was started first:
// pipes, null and terminals are what it has to have.
func inherited(context.Context, Targets) result {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return stopped("%v", err)
	}
	for _, entry := range entries {
		to, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err != nil {
			continue // the one that lists
		}
		switch {
		case strings.HasPrefix(to, "pipe:"), strings.HasPrefix(to, "anon_inode:"), to == "/dev/null", strings.HasPrefix(to, "/dev/pts/"):
		case strings.HasPrefix(to, "/proc/"):
		case strings.Contains(to, "/cpu.cfs_"), strings.HasSuffix(to, "/cpu.max"): // this program's own runtime reads it
		default:
			return through("descriptor %s is %s", entry.Name(), to)
		}
	}
	if dir, err := os.Readlink("/proc/self/cwd"); err == nil && strings.Contains(dir, "(unreachable)") {
		return through("its directory is outside: %s", dir)
	}
	return stopped("%d, none of anybody else's", len(entries))
}
