//go:build linux

package confine

import "golang.org/x/sys/unix"

// call is one of the kernel's calls.
type call struct {
	name   string
	number uint16
}

// architecture is one that the binary is built for.
type architecture struct {
	name  string
	audit uint32   // as seccomp_data has it
	calls []call   // by number
	lacks []string // what only others have
}

func amd64() architecture {
	return architecture{"amd64", unix.AUDIT_ARCH_X86_64, callsOfAMD64[:], nil}
}

func arm64() architecture {
	return architecture{"arm64", unix.AUDIT_ARCH_AARCH64, callsOfARM64[:], lackingOnARM64[:]}
}
