package attack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What stops calls.
const (
	byRights = "it is not root and has no capabilities"
	byFilter = "the system call filter; it has no rights either"
	byKernel = "they are read-only, or hidden"
	byGuest  = "that process is closed to its user"
)

const inOwnNamespace = "become root in a namespace of its own"

// localAttempts are about the kernel, other processes and files. They are made
// on one thread, which does not outlive them: some would change it.
func localAttempts(t Targets) []attempt {
	runtime.LockOSThread()
	calls := []attempt{
		{tried: "become root", try: func(context.Context) result { return becomeRoot(t.UID) }},
		{tried: inOwnNamespace, try: func(ctx context.Context) result {
			return ownNamespace(ctx, t.Program)
		}},
		{tried: "open a raw socket", try: func(context.Context) result { return rawSockets() }},
		{tried: "mount something", try: func(context.Context) result { return mount() }},
		{tried: "make a node of the computer's disk", try: func(context.Context) result { return diskNode() }},
		{tried: "load a kernel module", try: func(context.Context) result { return loadModule() }},
		{tried: "change the kernel's settings", try: func(context.Context) result { return kernelSettings() }},
		{tried: "use what kernels are taken by", try: func(context.Context) result { return riskyCalls() }},
		{tried: "see other processes", try: func(context.Context) result { return otherProcesses(filepath.Base(t.Program)) }},
		{tried: "read the memory of its own guard", try: func(context.Context) result { return memoryOf(1) }},
	}
	if t.Nested {
		calls = slices.DeleteFunc(calls, func(a attempt) bool { return a.tried == inOwnNamespace })
	}
	return append(calls, fileAttempts(t)...)
}

// call is the result of one that may not succeed.
func call(by, what string, err error) result {
	if err == nil {
		return worked("%sit worked", what)
	}
	return stopped(by, "%s%s", what, Plain(err))
}

// ownNamespace starts a process in a user namespace, in which it would have
// every capability. A process of many threads cannot enter one itself.
func ownNamespace(ctx context.Context, program string) result {
	cmd := exec.CommandContext(ctx, program, "version")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	return call(byFilter, "", cmd.Run())
}

func becomeRoot(uid int) result {
	if own := os.Getuid(); own == 0 {
		return worked("it is root")
	} else if own != uid {
		return worked("it is uid %d, not %d", own, uid)
	}
	// On this thread alone, and not by the package's call, which would change all.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0); errno == 0 {
		return worked("setuid worked")
	}
	status, err := ReadStatus("self")
	if err != nil {
		return worked("the kernel does not say what rights it has: %s", Plain(err))
	}
	for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"} {
		if bits, err := strconv.ParseUint(status[set], 16, 64); err != nil || bits != 0 {
			return worked("it has capabilities (%s %s)", set, status[set])
		}
	}
	if status["NoNewPrivs"] != "1" {
		return worked("a setuid program would give it new rights")
	}
	return stopped(byRights, "operation not permitted")
}

// ReadStatus reads /proc/PID/status, proc_pid_status(5).
func ReadStatus(pid string) (map[string]string, error) {
	data, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields, nil
}

func rawSockets() result {
	var last error
	for _, s := range []struct{ family, kind, protocol int }{
		{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
		{unix.AF_PACKET, unix.SOCK_RAW, 0},
		{unix.AF_PACKET, unix.SOCK_DGRAM, 0},
	} {
		fd, err := unix.Socket(s.family, s.kind, s.protocol)
		if err == nil {
			_ = unix.Close(fd)
			return worked("a socket of family %d, type %d", s.family, s.kind)
		}
		last = err
	}
	return stopped(byFilter, "%s", Plain(last))
}

func mount() result {
	dir, err := os.MkdirTemp("", "mount-")
	if err != nil {
		home, _ := os.UserHomeDir() // empty is refused below
		if dir, err = os.MkdirTemp(home, ".mount-"); err != nil {
			return stopped(byRights, "%s", Plain(err))
		}
	}
	defer func() { _ = os.Remove(dir) }()
	if err = unix.Mount("none", dir, "tmpfs", 0, ""); err == nil {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	}
	return call(byFilter, "", err)
}

// diskNode makes a block device of the first SCSI disk (major 8, minor 0).
func diskNode() result {
	home, _ := os.UserHomeDir() // empty: the working directory
	path := filepath.Join(home, ".disk")
	err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))) //nolint:gosec // G115: a small number
	if err == nil {
		_ = os.Remove(path)
	}
	return call(byFilter, "", err)
}

// loadModule loads an empty module, which no kernel takes, but which only a
// refusal by right or filter keeps from being looked at.
func loadModule() result {
	options := []byte{0}
	_, _, errno := unix.Syscall(unix.SYS_INIT_MODULE, 0, 0, uintptr(unsafe.Pointer(&options[0])))
	switch errno {
	case unix.EPERM, unix.ENOSYS, unix.EACCES:
		return stopped(byFilter, "%s", Plain(errno))
	}
	return worked("the kernel looked at it: %s", Plain(errno))
}

// kernelSettings opens what would take over or crash the host, and writes
// nothing.
func kernelSettings() result {
	paths := []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
		"/proc/sys/fs/binfmt_misc/register", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
		"/proc/kcore", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda",
	}
	for _, path := range paths {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			info, statErr := file.Stat()
			_ = file.Close()
			if statErr == nil && isNull(info) {
				continue
			}
			return worked("%s can be written to", path)
		}
	}
	return stopped(byKernel, "%s, none can be written to", count(len(paths), "file", "files"))
}

// isNull says that a file is /dev/null, by which engines hide one.
func isNull(info fs.FileInfo) bool {
	null, err := os.Stat("/dev/null")
	return err == nil && os.SameFile(null, info)
}

// riskyCalls are those by which kernels were taken most often.
func riskyCalls() result {
	calls := []struct {
		name   string
		number uintptr
		args   [3]uintptr
	}{
		{"io_uring", unix.SYS_IO_URING_SETUP, [3]uintptr{1, 0, 0}},
		{"bpf", unix.SYS_BPF, [3]uintptr{^uintptr(0), 0, 0}},
		{"perf", unix.SYS_PERF_EVENT_OPEN, [3]uintptr{0, 0, 0}},
		{"keyrings", unix.SYS_KEYCTL, [3]uintptr{unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 0}}, // the session's
		{"userfaultfd", unix.SYS_USERFAULTFD, [3]uintptr{^uintptr(0), 0, 0}},
	}
	var names []string
	for _, c := range calls {
		result, _, errno := unix.Syscall(c.number, c.args[0], c.args[1], c.args[2])
		if errno != unix.EPERM && errno != unix.ENOSYS && errno != unix.EACCES {
			if errno == 0 && c.name != "keyrings" && c.name != "bpf" {
				_ = unix.Close(int(result)) //nolint:gosec // G115: a descriptor
			}
			return worked("the kernel took a call of %s", c.name)
		}
		names = append(names, c.name)
	}
	return stopped(byFilter, "%s: all refused", strings.Join(names, ", "))
}

// otherProcesses looks for any that is not the bottle's own. The first of those
// is the guest: where it is another, the processes are another's.
func otherProcesses(guest string) result {
	if first, err := ReadStatus("1"); err == nil && first["Name"] != guest[:min(len(guest), 15)] { // TASK_COMM_LEN
		return worked("process 1 is %s", first["Name"])
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return stopped("it has processes of its own alone", "%s", Plain(err))
	}
	own := strconv.Itoa(os.Getuid())
	seen := 0
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		status, err := ReadStatus(entry.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		seen++
		if uids := strings.Fields(status["Uid"]); err == nil && (len(uids) == 0 || !slices.Contains(uids[:1], own)) {
			return worked("process %s (%s) is another user's", entry.Name(), status["Name"])
		}
	}
	return stopped("it has processes of its own alone", "%s, all of the bottle", count(seen, "process", "processes"))
}

// memoryOf is an attempt of MemoryOf.
func memoryOf(pid int) result {
	if how, open := MemoryOf(pid); open {
		return worked("%s", how)
	}
	return stopped(byGuest, "%s", Plain(unix.EACCES))
}

// MemoryOf reads that of a process, and says how when it can. In a bottle
// process 1 has the agent's own user.
func MemoryOf(pid int) (how string, open bool) {
	for _, name := range []string{"mem", "environ", "maps"} {
		path := fmt.Sprintf("/proc/%d/%s", pid, name)
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		// Some kernels refuse the reading only.
		n, err := file.Read(make([]byte, 1))
		_ = file.Close()
		if n > 0 || err == nil {
			return path + " can be read", true
		}
	}
	local := []unix.Iovec{{}}
	var one byte
	local[0].Base = &one
	local[0].SetLen(1)
	remote := []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&one)), Len: 1}}
	if _, err := unix.ProcessVMReadv(pid, local, remote, 0); err == nil {
		return "its memory can be read", true
	} else if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSYS) {
		return "the kernel looked for it: " + Plain(err), true
	}
	return "", false
}
