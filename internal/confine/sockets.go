//go:build linux

package confine

import "golang.org/x/sys/unix"

// sockTypeMask is the part of a socket's type that is not a flag:
// SOCK_TYPE_MASK of the kernel's net.h.
const sockTypeMask = 0xf

// sockets go to the gateway, within the bottle, or nowhere.
func sockets() []Row {
	inet := is(0, unix.AF_INET, unix.AF_INET6)
	return []Row{
		{
			"socket-families", "socket",
			[]Condition{isNot(0, unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK)},
			unix.EAFNOSUPPORT,
			"`socket` of every family but unix, inet, inet6 and netlink: vsock, packet, alg and 40 others",
			"vsock reaches the hypervisor past every network namespace; packet reads and forges frames (CVE-2020-14386); alg is the " +
				"kernel's crypto (CVE-2019-8912); the rest are modules that a mere `socket` loads (CVE-2010-3904, CVE-2021-43267)",
		},
		{
			"socketpair-families", "socketpair",
			[]Condition{isNot(0, unix.AF_UNIX)},
			unix.EOPNOTSUPP,
			"`socketpair` of every family but unix", "as `socket`",
		},
		{
			"raw-sockets", "socket",
			[]Condition{inet, isNot(1, unix.SOCK_STREAM, unix.SOCK_DGRAM).of(sockTypeMask)},
			unix.EPERM,
			"inet sockets but for streams and datagrams: raw, packet, seqpacket, dccp",
			"they forge addresses and tunnel in ICMP; CVE-2017-17712",
		},
		{
			"inet-protocols", "socket",
			[]Condition{inet, isNot(2, 0, unix.IPPROTO_TCP, unix.IPPROTO_UDP)},
			unix.EPROTONOSUPPORT,
			"inet protocols but for TCP and UDP: ICMP, SCTP, DCCP, L2TP, MPTCP, SMC and others",
			"no way out needs them; each is a module with holes (CVE-2015-3636, CVE-2019-8956); programs go on with TCP",
		},
		{
			"netlink-protocols", "socket",
			[]Condition{is(0, unix.AF_NETLINK), isNot(2, unix.NETLINK_ROUTE)},
			unix.EPROTONOSUPPORT,
			"netlink but for route: netfilter, xfrm, audit, connector, kobject events and others",
			"the kernel's administration (CVE-2023-32233, CVE-2022-27666); libraries ask route for the machine's addresses",
		},
		{
			"tcp-ulp", "setsockopt",
			[]Condition{is(1, unix.IPPROTO_TCP), is(2, unix.TCP_ULP)},
			unix.ENOPROTOOPT,
			"`setsockopt` of TCP_ULP",
			"loads TLS and others into the kernel below a socket (CVE-2023-0461, CVE-2024-26582); libraries do TLS themselves",
		},
	}
}

// terminals may be the person's, at their other end.
func terminals() []Row {
	return []Row{
		{
			"terminal-input", "ioctl",
			[]Condition{is(1, unix.TIOCSTI, tiocLinux)},
			unix.EPERM,
			"`ioctl` TIOCSTI, TIOCLINUX", "types commands into the terminal's shell (CVE-2017-5226, CVE-2019-10063, CVE-2023-28100)",
		},
		{
			"terminal-lines", "ioctl",
			[]Condition{is(1, unix.TIOCSETD, unix.TIOCCONS)},
			unix.EPERM,
			"`ioctl` TIOCSETD, TIOCCONS",
			"line disciplines are modules that any user loads (CVE-2017-2636, CVE-2023-6546); the other takes the console's output",
		},
	}
}

// tiocLinux is TIOCLINUX of ioctl_console(2).
const tiocLinux = 0x541c
