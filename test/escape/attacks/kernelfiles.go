//go:build linux

package attacks

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func kernelFileAttacks() []Attack {
	return []Attack{
		{ID: "kernel/proc-sys", What: "write every file in /proc/sys", try: func(ctx context.Context, _ Targets) result { return writeBelow(ctx, "/proc/sys") }},
		{ID: "kernel/sys", What: "write every file in /sys", try: func(ctx context.Context, _ Targets) result { return writeBelow(ctx, "/sys") }},
		{ID: "kernel/proc", What: "write what else in /proc is not a process': sysrq-trigger, irq, bus, scsi, fs, mtrr", try: procTop},
		{ID: "kernel/core-pattern", What: "core_pattern, modprobe, hotplug, uevent_helper: programs that the kernel starts as root", try: helpers},
		{ID: "kernel/release-agent", What: "release_agent of a cgroup, and cgroups of its own", try: releaseAgent},
		{ID: "kernel/binfmt", What: "register a format of programs in binfmt_misc", try: func(context.Context, Targets) result {
			return writeAny("/proc/sys/fs/binfmt_misc/register", "/proc/sys/fs/binfmt_misc/status")
		}},
		{ID: "kernel/own-process", What: "maps of ids, setgroups and security attributes of its own process", try: ownProcess},
		{ID: "kernel/login", What: "take root's login id, which the host's audit log names", try: func(context.Context, Targets) result {
			runtime.LockOSThread() // each thread has its own, and nobody else may write it
			return writeOwn(map[string]string{"/proc/thread-self/loginuid": "0\n"})
		}},
		{ID: "kernel/memory", What: "read the kernel's memory, its symbols' addresses and its log", try: kernelMemory},
	}
}

// writeBelow opens every file for writing, and writes nothing.
func writeBelow(ctx context.Context, root string) result {
	tried := 0
	var found string
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return nil //nolint:nilerr // the rest is tried
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		if tried++; opensForWriting(path) {
			found = path
			return fs.SkipAll
		}
		return nil
	})
	switch {
	case found != "":
		return through("%s", found)
	case tried == 0:
		return stopped("it is empty")
	}
	return stopped("%d files, none opens", tried)
}

// opensForWriting is false of /dev/null, by which engines hide a file.
func opensForWriting(path string) bool {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	var opened, null unix.Stat_t
	if unix.Fstat(fd, &opened) == nil && unix.Stat("/dev/null", &null) == nil && opened.Rdev == null.Rdev && opened.Mode&unix.S_IFMT == unix.S_IFCHR {
		return false
	}
	return true
}

func writeAny(paths ...string) result {
	for _, path := range paths {
		if opensForWriting(path) {
			return through("%s", path)
		}
	}
	return stopped("%d tried", len(paths))
}

// ofEverybody are a process' own, or tried elsewhere; and pressure, which any
// user may watch on any machine (since Linux 6.5): what is written there says
// what to wait for.
var ofEverybody = []string{"self", "thread-self", "sys", "net", "mounts", "pressure"}

func procTop(ctx context.Context, _ Targets) result {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return stopped("%v", err)
	}
	tried := 0
	for _, entry := range entries {
		path := "/proc/" + entry.Name()
		switch {
		case entry.Name()[0] >= '0' && entry.Name()[0] <= '9', slices.Contains(ofEverybody, entry.Name()):
		case entry.IsDir():
			if r := writeBelow(ctx, path); r.outcome == Through {
				return r
			}
			tried++
		default:
			if tried++; opensForWriting(path) {
				return through("%s", path)
			}
		}
	}
	return stopped("%d entries", tried)
}

func helpers(context.Context, Targets) result {
	return writeAny("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/proc/sys/kernel/poweroff_cmd",
		"/proc/sys/kernel/usermodehelper/bset", "/sys/kernel/uevent_helper", "/sys/power/state", "/proc/sysrq-trigger", "/sys/kernel/mm/ksm/run")
}

func releaseAgent(context.Context, Targets) result {
	found, _ := filepath.Glob("/sys/fs/cgroup/*/release_agent") // the pattern is good
	more, _ := filepath.Glob("/sys/fs/cgroup/{,*/}{cgroup.procs,notify_on_release,cgroup.subtree_control,tasks}")
	if r := writeAny(append(append(found, more...), "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/release_agent")...); r.outcome == Through {
		return r
	}
	roots, _ := filepath.Glob("/sys/fs/cgroup/*") // the pattern is good
	for _, root := range append(roots, "/sys/fs/cgroup") {
		dir := filepath.Join(root, "escape")
		if err := os.Mkdir(dir, 0o755); err == nil {
			_ = os.Remove(dir) // it was made here
			return through("a cgroup in %s", root)
		}
	}
	return stopped("%d places", len(found)+len(roots)+1)
}

func ownProcess(context.Context, Targets) result {
	return writeOwn(map[string]string{
		"/proc/self/uid_map": "0 0 1\n", "/proc/self/gid_map": "0 0 1\n", "/proc/self/setgroups": "allow\n",
		"/proc/self/attr/exec": "unconfined\n", "/proc/self/attr/current": "unconfined\n", "/proc/self/projid_map": "0 0 1\n",
	})
}

func writeOwn(values map[string]string) result {
	for path, value := range values {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			continue
		}
		_, err = file.WriteString(value)
		_ = file.Close()
		if err == nil {
			return through("%s took %q", path, value)
		}
	}
	return stopped("the kernel takes none")
}

func kernelMemory(context.Context, Targets) result {
	for _, path := range []string{"/proc/kcore", "/proc/kmsg", "/proc/kallsyms", "/dev/mem", "/dev/kmem", "/dev/kmsg", "/dev/port", "/proc/timer_list", "/proc/sched_debug", "/proc/keys", "/sys/kernel/debug", "/sys/firmware/efi"} {
		file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		head := make([]byte, 16)
		n, _ := file.Read(head)
		_ = file.Close()
		// Where addresses are hidden each symbol is at zero.
		hidden := path == "/proc/kallsyms" && strings.HasPrefix(string(head), "0000000000000000")
		if n > 0 && !hidden {
			return through("%s can be read", path)
		}
	}
	return stopped("hidden, or closed")
}
