//go:build linux

package attacks

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// int80 makes a call by the gate of 32-bit programs (foreign_amd64.s).
func int80(number, a, b uint32) int32

// x32 is the bit of that ABI's numbers.
const x32 = 0x40000000

func foreignAttacks() []Attack {
	return []Attack{
		{ID: "abi/int80", What: "a call by the gate of 32-bit programs (int 0x80)", try: func(context.Context, Targets) result {
			if pid := int80(20, 0, 0); pid > 0 {
				return through("getpid answered %d", pid)
			}
			return stopped("it does not answer")
		}},
		{ID: "abi/int80-socketcall", What: "a packet socket by socketcall, whose arguments no filter can read", try: socketcall},
		{ID: "abi/x32", What: "a call by the numbers of x32", try: func(context.Context, Targets) result {
			if _, _, errno := unix.RawSyscall(x32|unix.SYS_GETPID, 0, 0, 0); errno == 0 {
				return through("getpid answered")
			}
			return stopped("it does not exist")
		}},
		{ID: "abi/x32-socket", What: "a packet socket by the numbers of x32", try: func(context.Context, Targets) result {
			if _, _, errno := unix.RawSyscall(x32|unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_DGRAM, 0); errno == 0 {
				return through("it is open")
			}
			return stopped("it does not exist")
		}},
		{ID: "abi/program", What: "a whole 32-bit program", try: program32},
	}
}

func socketcall(context.Context, Targets) result {
	// Its arguments must lie where 32 bits reach.
	memory, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_32BIT, minusOne, 0)
	if errno != 0 {
		return stopped("no memory where 32 bits reach: %v", errno)
	}
	args := unsafe.Slice((*uint32)(*(*unsafe.Pointer)(unsafe.Pointer(&memory))), 3)
	args[0], args[1], args[2] = unix.AF_PACKET, unix.SOCK_DGRAM, 0
	if fd := int80(102, 1, uint32(memory)); fd >= 0 { //nolint:gosec // G115: MAP_32BIT
		return through("descriptor %d", fd)
	}
	return stopped("it does not answer")
}

// program32 runs a program that leaves with code 7.
func program32(ctx context.Context, _ Targets) result {
	dir, err := scratch("program32-")
	if err != nil {
		return result{"", err.Error()}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "program")
	if err := os.WriteFile(path, elf32(), 0o700); err != nil { //nolint:gosec // G306: a program
		return result{"", err.Error()}
	}
	cmd := exec.CommandContext(ctx, path)
	err = cmd.Run()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 7 {
		return through("it ran")
	}
	return stopped("%v", err)
}

// elf32 is a static program: mov ebx, 7; mov eax, 1; int 0x80.
func elf32() []byte {
	const base, headers = 0x08048000, 52 + 32
	code := []byte{0xbb, 7, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xcd, 0x80}
	var b bytes.Buffer
	b.Write([]byte{0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	size := uint32(headers + len(code)) //nolint:gosec // G115: a few bytes
	for _, field := range []any{
		uint16(2), uint16(3), uint32(1), uint32(base + headers), uint32(52), uint32(0), uint32(0), // type, machine, version, entry, tables, flags
		uint16(52), uint16(32), uint16(1), uint16(0), uint16(0), uint16(0), // sizes and numbers of the tables
		uint32(1), uint32(0), uint32(base), uint32(base), size, size, uint32(5), uint32(0x1000), // what is loaded: all of it
	} {
		_ = binary.Write(&b, binary.LittleEndian, field) // into memory
	}
	b.Write(code)
	return b.Bytes()
}
