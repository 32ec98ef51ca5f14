//go:build linux

package attacks

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/attack"
)

func processAttacks() []Attack {
	return []Attack{
		{ID: "processes/guest-memory", What: "read the memory of the bottle's guest: mem, environ, maps, process_vm_readv", try: func(_ context.Context, t Targets) result {
			if how, open := attack.MemoryOf(t.guest()); open {
				return through("%s", how)
			}
			return stopped("it is closed to its own user")
		}},
		{ID: "processes/guest-files", What: "go through /proc to what the guest has open: fd, root, cwd, exe", try: guestFiles},
		{ID: "processes/guest-positions", What: "read flags and positions of what the guest has open: fdinfo", try: func(_ context.Context, t Targets) result {
			return readable(t, "fdinfo/0", "fdinfo/1", "fdinfo/3")
		}},
		{ID: "processes/guest-rest", What: "read what else /proc has of it: auxv, stack, syscall, io, pagemap", try: guestRest},
		{ID: "processes/guest-threads", What: "reach all that by each of its threads", try: guestThreads},
		{ID: "processes/guest-settings", What: "write what /proc lets be set of it: comm, score, filters, maps of ids", try: guestSettings},
		{ID: "processes/guest-ptrace", What: "trace it: ATTACH, SEIZE", try: tracing},
		{ID: "processes/guest-write", What: "write its memory: mem, process_vm_writev", try: guestWrite},
		{ID: "processes/guest-descriptors", What: "take its descriptors: pidfd_open, pidfd_getfd", try: takeDescriptors},
		{ID: "processes/guest-program", What: "write the guest's program while it runs", try: guestProgram},
		{ID: "processes/others", What: "see processes of other users, or of the host", try: others},
		{ID: "processes/marked", What: "find a process of the host by its command line and environment", try: marked},
		{ID: "processes/signals", What: "signal every process there is", try: signals},
	}
}

// guestFiles: that descriptors have numbers is no secret; what they are is.
func guestFiles(_ context.Context, t Targets) result {
	pid := strconv.Itoa(t.guest())
	numbers := 0
	for _, name := range []string{"fd", "map_files", "task/" + pid + "/fd"} {
		dir := "/proc/" + pid + "/" + name
		entries, _ := os.ReadDir(dir) // none when it is closed
		numbers += len(entries)
		for _, entry := range entries {
			path := dir + "/" + entry.Name()
			if to, err := os.Readlink(path); err == nil {
				return through("%s is %s", path, to)
			}
			if fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
				_ = unix.Close(fd)
				return through("%s is open", path)
			}
		}
	}
	for _, name := range []string{"root", "cwd", "exe"} {
		if to, err := os.Readlink("/proc/" + pid + "/" + name); err == nil {
			return through("%s is %s", name, to)
		}
	}
	return stopped("closed to its own user; %d numbers are listed", numbers)
}

func guestRest(_ context.Context, t Targets) result {
	return readable(t, "auxv", "stack", "syscall", "io", "pagemap", "personality", "timerslack_ns")
}

func readable(t Targets, names ...string) result {
	for _, name := range names {
		path := fmt.Sprintf("/proc/%d/%s", t.guest(), name)
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		n, _ := file.Read(make([]byte, 8))
		_ = file.Close()
		if n > 0 {
			return through("%s can be read", path)
		}
	}
	return stopped("closed to its own user")
}

// guestThreads: each thread has files of its own in /proc, those that the guest
// has made to spare among them.
func guestThreads(_ context.Context, t Targets) result {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", t.guest()))
	if err != nil || len(threads) == 0 {
		return result{"", "it has no threads"}
	}
	for _, thread := range threads {
		for _, name := range []string{"root", "cwd", "exe", "fd/0", "fd/1", "fd/3"} {
			if to, err := os.Readlink(thread + "/" + name); err == nil {
				return through("%s/%s is %s", thread, name, to)
			}
		}
		for _, name := range []string{"mem", "environ", "auxv", "stack", "syscall", "io", "pagemap", "personality", "smaps"} {
			file, err := os.Open(thread + "/" + name)
			if err != nil {
				continue
			}
			n, _ := file.Read(make([]byte, 8))
			_ = file.Close()
			if n > 0 || name == "mem" {
				return through("%s/%s can be read", thread, name)
			}
		}
	}
	return stopped("%d threads, all closed to their own user", len(threads))
}

// guestSettings opens them for writing, and writes nothing but what is there by
// default, where a file opens for everybody and asks who writes.
func guestSettings(_ context.Context, t Targets) result {
	var open []string
	settings := []string{
		"comm", "oom_score_adj", "oom_adj", "coredump_filter", "autogroup", "timerslack_ns", "timens_offsets", "clear_refs", "sched",
		"uid_map", "gid_map", "projid_map", "setgroups", "loginuid", "make-it-fail", "fail-nth",
	}
	for _, name := range settings {
		path := fmt.Sprintf("/proc/%d/%s", t.guest(), name)
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			continue
		}
		if name == "timerslack_ns" {
			_, err = file.WriteString("50000")
		}
		_ = file.Close()
		if err == nil {
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		return through("of its settings can be written: %s", strings.Join(open, ", "))
	}
	return stopped("%d files", len(settings))
}

func tracing(_ context.Context, t Targets) result {
	runtime.LockOSThread()
	for name, request := range map[string]uintptr{"ATTACH": unix.PTRACE_ATTACH, "SEIZE": unix.PTRACE_SEIZE} {
		_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, request, uintptr(t.guest()), 0, 0, 0, 0) //nolint:gosec // G115: a process id
		if errno == 0 {
			_, _, _ = unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(t.guest()), 0, 0, 0, 0) //nolint:gosec // G115: a process id
		}
		if !refused(errno) {
			return through("%s: %v", name, errno)
		}
	}
	return stopped("refused")
}

func guestWrite(_ context.Context, t Targets) result {
	if file, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", t.guest()), os.O_WRONLY, 0); err == nil {
		_ = file.Close()
		return through("mem is open for writing")
	}
	byteOf := int32(0)
	local := []unix.Iovec{{Base: (*byte)(pointer(&byteOf)), Len: 1}}
	remote := []unix.RemoteIovec{{Base: 0, Len: 1}} // nothing is there to be overwritten
	if _, err := unix.ProcessVMWritev(t.guest(), local, remote, 0); !refused(err) {
		return through("process_vm_writev: %v", err)
	}
	return stopped("refused")
}

func takeDescriptors(_ context.Context, t Targets) result {
	fd, err := unix.PidfdOpen(t.guest(), 0)
	if err != nil {
		return stopped("pidfd_open: %v", err)
	}
	defer func() { _ = unix.Close(fd) }()
	for wanted := range 64 {
		taken, err := unix.PidfdGetfd(fd, wanted, 0)
		if err == nil {
			_ = unix.Close(taken)
			return through("descriptor %d", wanted)
		}
		if !refused(err) {
			return through("descriptor %d: the kernel looked for it: %v", wanted, err)
		}
	}
	return stopped("refused")
}

// guestProgram opens what it runs for writing, as CVE-2019-5736 did.
func guestProgram(_ context.Context, t Targets) result {
	for _, path := range []string{fmt.Sprintf("/proc/%d/exe", t.guest()), "/.claude-bottle/claude-bottle", "/.claude-bottle/nonce"} {
		for _, flags := range []int{os.O_WRONLY, os.O_RDWR | os.O_TRUNC, os.O_WRONLY | os.O_APPEND} {
			if flags&os.O_TRUNC != 0 && os.Getuid() == 0 {
				continue // not where it could work
			}
			if file, err := os.OpenFile(path, flags, 0); err == nil {
				_ = file.Close()
				return through("%s can be written to", path)
			}
		}
	}
	if err := os.Remove("/.claude-bottle/claude-bottle"); err == nil {
		return through("it can be removed")
	}
	return stopped("it is read-only, and closed")
}

func others(context.Context, Targets) result {
	own := strconv.Itoa(os.Getuid())
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(entries) == 0 {
		return result{"", "nothing is in /proc"}
	}
	seen := 0
	for _, dir := range entries {
		status, err := attack.ReadStatus(filepath.Base(dir))
		if err != nil {
			continue // it has ended
		}
		seen++
		if uids := strings.Fields(status["Uid"]); len(uids) > 0 && uids[0] != own {
			return through("process %s (%s) is of uid %s", filepath.Base(dir), status["Name"], uids[0])
		}
		if status["Name"] == "kthreadd" || status["Name"] == "systemd" {
			return through("it sees the machine's %s", status["Name"])
		}
	}
	return stopped("%d processes, all its own", seen)
}

func marked(_ context.Context, t Targets) result {
	if t.Marker == "" {
		return absent("none is marked")
	}
	own := strconv.Itoa(os.Getpid())
	paths, err := filepath.Glob("/proc/[0-9]*/[ce][mn][dv]*")
	if err != nil {
		return stopped("%v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(t.Marker)) && !strings.HasPrefix(path, "/proc/"+own+"/") {
			return through("%s", path)
		}
	}
	return stopped("%d files read, it is in none", len(paths))
}

// signals sends signal 0, which asks only whether one could be sent. Below
// process 2 there is the guest alone, which ends by no signal from inside.
func signals(context.Context, Targets) result {
	own := os.Getuid()
	for pid := 1; pid < 1<<15; pid++ {
		if err := unix.Kill(pid, 0); err == nil {
			status, err := attack.ReadStatus(strconv.Itoa(pid))
			if err != nil {
				continue
			}
			if uids := strings.Fields(status["Uid"]); len(uids) > 0 && uids[0] != strconv.Itoa(own) {
				return through("process %d, of uid %s", pid, uids[0])
			}
		}
	}
	return stopped("its own processes alone")
}
