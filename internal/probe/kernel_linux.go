package probe

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// identity checks what the kernel says about the process itself, which is
// what it will say about the agent.
func identity(p wire.Probe) []wire.Finding {
	findings := []wire.Finding{
		user(p.UID, p.GID, p.Kernel).in(check{kind: User, target: fmt.Sprintf("uid %d, gid %d and no other", p.UID, p.GID)}),
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return append(findings, open("/proc/self/status: "+reason(err)).in(check{kind: Capabilities, target: "none"}))
	}
	fields := parseStatus(string(status))
	return append(findings,
		capabilities(fields, p.Kernel).in(check{kind: Capabilities, target: "none, in no set"}),
		privileges(fields, p.Kernel).in(check{kind: Privileges, target: "no new ones"}),
		filter(fields, p.Kernel).in(check{kind: Filter, target: "seccomp"}))
}

func user(uid, gid int, kernel wire.Kernel) outcome {
	r, e, s := unix.Getresuid()
	rg, eg, sg := unix.Getresgid()
	groups, err := unix.Getgroups()
	switch {
	case r == 0 || e == 0 || s == 0 || uid == 0:
		return open("it is root")
	case r != uid || e != uid || s != uid:
		return open(fmt.Sprintf("its uids are %d, %d and %d", r, e, s))
	case rg != gid || eg != gid || sg != gid:
		return open(fmt.Sprintf("its gids are %d, %d and %d", rg, eg, sg))
	case err != nil:
		return open("groups: " + reason(err))
	}
	for _, group := range groups {
		if group != gid && (group != overflowGroup || !kernel.Unmapped) {
			return open(fmt.Sprintf("it is in group %d", group))
		}
	}
	return closed("so the kernel says")
}

// overflowGroup is how a group is shown that a user namespace has no number
// for: /proc/sys/kernel/overflowgid, user_namespaces(7).
const overflowGroup = 65534

// parseStatus reads /proc/PID/status, proc(5).
func parseStatus(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

func capabilities(status map[string]string, kernel wire.Kernel) outcome {
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if set == "CapBnd" && kernel.Unbounded {
			continue
		}
		value, ok := status[set]
		if !ok {
			return open("the kernel does not report " + set)
		}
		if strings.Trim(value, "0") != "" {
			return open(set + " is " + value)
		}
	}
	return closed("so the kernel says")
}

func privileges(status map[string]string, kernel wire.Kernel) outcome {
	if got := status["NoNewPrivs"]; kernel.NoNewPrivs != "" && got != kernel.NoNewPrivs {
		return open(fmt.Sprintf("NoNewPrivs is %q", got))
	}
	return closed("so the kernel says")
}

func filter(status map[string]string, kernel wire.Kernel) outcome {
	if got := status["Seccomp"]; kernel.Seccomp != "" && got != kernel.Seccomp {
		return open(fmt.Sprintf("its mode is %q, on %s it would be %s", got, kernel.Name, kernel.Seccomp))
	}
	// Kernels before 5.9 do not count them.
	if text, ok := status["Seccomp_filters"]; ok && kernel.Filters > 0 {
		if got, err := strconv.Atoi(text); err != nil || got < kernel.Filters {
			return open(fmt.Sprintf("%s filters, the engine's and ours would be %d", text, kernel.Filters))
		}
	}
	return closed("so the kernel says")
}

// settings are files by which the host, or every bottle at once, is set.
// Written to they run a program as the host's root (core_pattern, modprobe,
// uevent_helper, release_agent), stop the machine, or unmake a defence.
var settings = []string{
	"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
	"/proc/sys/kernel/poweroff_cmd", "/proc/sys/kernel/usermodehelper/bset", "/proc/sys/kernel/modules_disabled",
	"/proc/sys/kernel/sysrq", "/proc/sysrq-trigger", "/proc/sys/kernel/randomize_va_space",
	"/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/kernel/unprivileged_bpf_disabled", "/proc/sys/kernel/ns_last_pid",
	"/proc/sys/kernel/domainname", "/proc/sys/kernel/hostname", "/proc/sys/kernel/panic", "/proc/sys/kernel/dmesg_restrict",
	"/proc/sys/fs/binfmt_misc/register", "/proc/sys/fs/protected_symlinks", "/proc/sys/fs/suid_dumpable", "/proc/sys/fs/file-max",
	"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/drop_caches", "/proc/sys/vm/panic_on_oom", "/proc/sys/vm/mmap_min_addr",
	"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/all/forwarding", "/proc/sys/net/ipv4/ip_unprivileged_port_start",
	"/proc/sys/net/ipv4/ping_group_range", "/proc/sys/net/ipv6/conf/all/disable_ipv6", "/proc/sys/net/core/bpf_jit_enable",
	"/proc/sys/user/max_user_namespaces", "/proc/irq/default_smp_affinity", "/proc/mtrr",
	"/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/power/state",
	"/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/cgroup.procs",
	"/sys/fs/cgroup/devices/devices.allow",
}

// secrets are files that show the host's memory or keys; a mask makes them
// empty.
var secrets = []string{"/proc/kcore", "/proc/kmem", "/proc/kmsg", "/proc/keys", "/dev/mem", "/dev/kmem", "/dev/port"}

// files checks that none of those can be opened. Opening alone changes
// nothing.
func files(nested bool) []wire.Finding {
	written := closed(fmt.Sprintf("none of %d", len(settings)))
	for _, path := range settings {
		if nested && path == "/proc/sys/kernel/ns_last_pid" {
			continue // of the bottle's own namespace; see below
		}
		if fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err == nil {
			_ = unix.Close(fd)
			written = open(path + " can be written to")
			break
		}
		if unix.Access(path, unix.W_OK) == nil {
			written = open(path + " can be written to")
			break
		}
	}
	read := closed(fmt.Sprintf("none of %d", len(secrets)))
	for _, path := range secrets {
		if nested && path == "/proc/keys" {
			continue // nothing may cover /proc there: docs/native.md
		}
		if readable(path) {
			read = open(path + " can be read")
			break
		}
	}
	return []wire.Finding{
		written.in(check{kind: Setting, target: "files that set the host"}),
		read.in(check{kind: Setting, target: "files that show the host"}),
	}
}

// mounted compares what is there of the host with what the plan says: who can
// replace it, or a link to it, could do so between the two.
func mounted(list []wire.Mounted) (findings []wire.Finding) {
	for _, m := range list {
		var stat unix.Stat_t
		found := closed("the same")
		switch err := unix.Stat(m.Path, &stat); {
		case err != nil:
			found = open(err.Error())
		case stat.Dev != m.Dev || stat.Ino != m.Ino:
			found = open("another one")
		}
		findings = append(findings, found.in(check{kind: Mounted, target: m.Path}))
	}
	return findings
}

// readable says whether a file can be opened and holds anything.
func readable(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	n, err := unix.Read(fd, make([]byte, 1))
	return n > 0 && err == nil || errors.Is(err, unix.EAGAIN)
}

// everyBottlesDevices are the nodes in /dev that reach nothing: they make or
// swallow bytes, or are the process's own terminal.
var everyBottlesDevices = []string{"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}

// devices checks that no node leads to the machine, and that none can be made.
func devices(kernel wire.Kernel) []wire.Finding {
	there := closed("none that leads anywhere")
	for _, path := range nodes("/dev") {
		name := strings.TrimPrefix(path, "/dev/")
		if slices.Contains(everyBottlesDevices, name) || slices.Contains(kernel.Devices, name) {
			continue
		}
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != nil {
			continue
		}
		_ = unix.Close(fd)
		there = open(path + " can be opened")
		break
	}
	return []wire.Finding{
		there.in(check{kind: Device, target: "nodes in /dev"}),
		makeNode().in(check{kind: Device, target: "making a node"}),
	}
}

// nodes are the devices in a directory and in those right below it, but for
// terminals. Each entry is looked at: what a directory says of one is what lies
// below a mount there.
func nodes(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var found []string
	for _, entry := range entries {
		path := dir + "/" + entry.Name()
		info, err := os.Lstat(path)
		switch {
		case err != nil: // it went away, or nobody may look
		case info.Mode()&os.ModeDevice != 0:
			found = append(found, path)
		case info.IsDir() && entry.Name() != "pts" && entry.Name() != "shm" && strings.Count(path, "/") < 4:
			found = append(found, nodes(path)...)
		}
	}
	return found
}

// makeNode tries to make the node of a disk.
func makeNode() outcome {
	path := fmt.Sprintf("%s/claude-bottle-probe-%d", os.TempDir(), os.Getpid())
	err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0)))
	if err == nil {
		_ = unix.Unlink(path)
		return open("done")
	}
	return closed(reason(err))
}

// parent checks that the guest's memory is closed: it has held the secrets.
func parent() wire.Finding {
	c := check{kind: Memory, target: "memory of the guest"}
	path := fmt.Sprintf("/proc/%d/mem", os.Getppid())
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return closed(reason(err)).in(c)
	}
	_ = unix.Close(fd)
	return open(path + " can be opened").in(c)
}

// engineSockets are where engines listen on hosts.
var engineSockets = []string{
	"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock",
	"/run/crio/crio.sock", "/run/buildkit/buildkitd.sock", "/run/dbus/system_bus_socket", "/run/systemd/private",
}

func sockets() wire.Finding {
	o := closed(fmt.Sprintf("none of %d", len(engineSockets)))
	for _, path := range engineSockets {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			continue
		}
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		_ = unix.Close(fd)
		if err == nil {
			o = open(path + " answers")
			break
		}
	}
	return o.in(check{kind: EngineSocket, target: "sockets of engines"})
}
