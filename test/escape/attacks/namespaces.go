//go:build linux

package attacks

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespaces are all kinds.
var namespaces = map[string]uintptr{
	"user": unix.CLONE_NEWUSER, "mount": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "network": unix.CLONE_NEWNET,
	"ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME,
}

func namespaceAttacks() []Attack {
	return []Attack{
		{ID: "namespaces/user", What: "make a user namespace, in which it would be root: unshare, clone, clone3", try: userNamespace},
		{ID: "namespaces/others", What: "make namespaces of every other kind", try: otherNamespaces},
		{ID: "namespaces/setns", What: "enter the namespaces of other processes", try: enterNamespaces},
		{ID: "mounts/new", What: "mount tmpfs, proc, sysfs, cgroups, overlays, binfmt_misc and devices", try: newMounts},
		{ID: "mounts/bind", What: "mount a directory elsewhere, or take read-only away", try: bindMounts},
		{ID: "mounts/calls", What: "the newer calls: fsopen, fsmount, fspick, open_tree, move_mount, mount_setattr", try: mountCalls},
		{ID: "mounts/unmount", What: "take off what hides files", try: unmounts},
		{ID: "mounts/root", What: "chroot and pivot_root", try: newRoot},
	}
}

func userNamespace(ctx context.Context, _ Targets) result {
	runtime.LockOSThread()
	// Of a process of many threads unshare says EINVAL where it is let through.
	if _, _, errno := unix.RawSyscall(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0); errno == 0 || !refused(errno) {
		return through("unshare: %v", errno)
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "version")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	if err := cmd.Run(); err == nil || !refused(err) {
		return through("clone: %v", err)
	}
	// struct clone_args with flags alone; of what it makes nothing is left.
	args := make([]uint64, 11)
	args[0] = unix.CLONE_NEWUSER | unix.CLONE_THREAD // refused by the kernel too, by EINVAL
	if _, _, errno := unix.RawSyscall(unix.SYS_CLONE3, addressOf64(&args[0]), 88, 0); !refused(errno) {
		return through("clone3: %v", errno)
	}
	return stopped("refused by each call")
}

func otherNamespaces(context.Context, Targets) result {
	runtime.LockOSThread()
	for name, flag := range namespaces {
		if _, _, errno := unix.RawSyscall(unix.SYS_UNSHARE, flag, 0, 0); errno == 0 {
			return through("unshare: a namespace of kind %s", name)
		}
		// With CLONE_THREAD the kernel itself refuses by EINVAL, so nothing is made.
		// Clone itself has no bit for time.
		if _, _, errno := unix.RawSyscall(unix.SYS_CLONE, flag|unix.CLONE_THREAD, 0, 0); name != "time" && !refused(errno) {
			return through("clone: %s: %v", name, errno)
		}
	}
	return stopped("%d kinds", len(namespaces))
}

func enterNamespaces(context.Context, Targets) result {
	runtime.LockOSThread()
	paths, err := filepath.Glob("/proc/[0-9]*/ns/*")
	if err != nil {
		return stopped("%v", err)
	}
	tried := 0
	for _, path := range append(paths, "/proc/self/ns/mnt", "/proc/self/ns/user", "/proc/self/ns/net") {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		err = unix.Setns(fd, 0)
		_ = unix.Close(fd)
		if tried++; !refused(err) {
			return through("%s: %v", path, err)
		}
	}
	return stopped("%d tried", tried)
}

func newMounts(context.Context, Targets) result {
	dir, err := scratch("mounts-")
	if err != nil {
		return result{"", err.Error()}
	}
	defer func() { _ = os.Remove(dir) }()
	runtime.LockOSThread()
	kinds := []string{"tmpfs", "proc", "sysfs", "cgroup", "cgroup2", "overlay", "binfmt_misc", "devpts", "devtmpfs", "mqueue", "bpf", "fuse", "debugfs", "securityfs", "ext4"}
	for _, kind := range kinds {
		if err := unix.Mount("none", dir, kind, 0, ""); !refused(err) {
			_ = unix.Unmount(dir, unix.MNT_DETACH) // it may not have been mounted
			return through("%s: %v", kind, err)
		}
	}
	return stopped("%d kinds of file systems", len(kinds))
}

func bindMounts(context.Context, Targets) result {
	dir, err := scratch("bind-")
	if err != nil {
		return result{"", err.Error()}
	}
	defer func() { _ = os.Remove(dir) }()
	for _, try := range []struct {
		what, from, to string
		flags          uintptr
	}{
		{"bind", "/", dir, unix.MS_BIND},
		{"bind with all below", "/", dir, unix.MS_BIND | unix.MS_REC},
		{"write to /usr", "", "/usr", unix.MS_REMOUNT | unix.MS_BIND},
		{"write to /", "", "/", unix.MS_REMOUNT},
		{"share", "", "/", unix.MS_SHARED | unix.MS_REC},
		{"move", "/tmp", dir, unix.MS_MOVE},
	} {
		err := unix.Mount(try.from, try.to, "", try.flags, "")
		if err == nil && try.flags&unix.MS_BIND != 0 && try.to == dir {
			_ = unix.Unmount(dir, unix.MNT_DETACH) // ours
		}
		if !refused(err) {
			return through("%s: %v", try.what, err)
		}
	}
	return stopped("refused")
}

func mountCalls(context.Context, Targets) result {
	for name, c := range map[string][5]uintptr{
		"fsopen":        {unix.SYS_FSOPEN, text("tmpfs"), 0},
		"fspick":        {unix.SYS_FSPICK, cwd, text("/"), 0},
		"fsmount":       {unix.SYS_FSMOUNT, minusOne, 0, 0},
		"fsconfig":      {unix.SYS_FSCONFIG, minusOne, 6, 0, 0},
		"open_tree":     {unix.SYS_OPEN_TREE, cwd, text("/"), 1}, // OPEN_TREE_CLONE
		"move_mount":    {unix.SYS_MOVE_MOUNT, minusOne, text(""), cwd, text("/")},
		"mount_setattr": {unix.SYS_MOUNT_SETATTR, cwd, text("/"), 0, 0},
	} {
		if _, _, errno := unix.Syscall6(c[0], c[1], c[2], c[3], c[4], 0, 0); errno == 0 || !refused(errno) {
			return through("%s: %v", name, errno)
		}
	}
	return stopped("refused")
}

func unmounts(context.Context, Targets) result {
	for _, path := range []string{"/proc/sys", "/proc/kcore", "/proc/acpi", "/sys/firmware", "/etc/resolv.conf", "/etc/passwd", "/tmp"} {
		// MNT_EXPIRE alone takes nothing off at the first call, and says EAGAIN.
		if err := unix.Unmount(path, unix.MNT_EXPIRE); !refused(err) {
			return through("%s: %v", path, err)
		}
	}
	return stopped("refused")
}

func newRoot(context.Context, Targets) result {
	runtime.LockOSThread()
	if err := unix.Chroot("/"); !refused(err) {
		return through("chroot: %v", err)
	}
	if err := unix.PivotRoot(".", "."); !refused(err) {
		return through("pivot_root: %v", fmt.Sprint(err))
	}
	return stopped("refused")
}
