//go:build linux

package attacks

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/attack"
)

func rightsAttacks() []Attack {
	return []Attack{
		{ID: "rights/root", What: "be root, or become it", try: becomeRoot},
		{ID: "rights/groups", What: "join other groups", try: func(context.Context, Targets) result {
			_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
			return refusedCall("setgroups", errno)
		}},
		{ID: "rights/capabilities", What: "have a capability, or be able to get one", try: capabilities},
		{ID: "rights/setuid", What: "run root's setuid programs", try: setuidPrograms},
		{ID: "rights/filter", What: "run without a filter of calls", try: filter},
		{ID: "rights/dumpable", What: "have the kernel write a core of it", try: func(context.Context, Targets) result {
			var limit unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Max != 0 {
				return through("a core may have %d bytes (%v)", limit.Max, err)
			}
			return stopped("a core has no size")
		}},
		{ID: "rights/limits", What: "raise its own limits of resources, its priority and its score", try: raiseLimits},
		{ID: "rights/killed-first", What: "take back that it is killed first when memory runs out", try: killedFirst},
		{ID: "rights/personality", What: "map the page at zero, or make all memory executable", try: func(context.Context, Targets) result {
			for _, persona := range []uintptr{0x0400000, 0x0100000, 1<<32 | 0x0100000} { // READ_IMPLIES_EXEC, MMAP_PAGE_ZERO
				if _, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, persona, 0, 0); errno == 0 {
					return through("personality %#x", persona)
				}
			}
			return stopped("refused")
		}},
		{ID: "terminal/input", What: "type into a terminal (TIOCSTI, TIOCLINUX, TIOCSETD)", try: typeIntoTerminal},
	}
}

func refusedCall(what string, errno unix.Errno) result {
	switch {
	case errno == 0:
		return through("%s worked", what)
	case refused(errno):
		return stopped("%s: %v", what, errno)
	}
	return through("%s: the kernel looked at it: %v", what, errno)
}

func becomeRoot(context.Context, Targets) result {
	if os.Getuid() == 0 || os.Geteuid() == 0 {
		return through("it is root")
	}
	runtime.LockOSThread()
	for name, number := range map[string]uintptr{"setresuid": unix.SYS_SETRESUID, "setresgid": unix.SYS_SETRESGID, "setfsuid": unix.SYS_SETFSUID} {
		was, _, errno := unix.RawSyscall(number, 0, 0, 0)
		if name == "setfsuid" { // it says what there was, and changes nothing when it may not
			if now, _, _ := unix.RawSyscall(number, minusOne, 0, 0); now == 0 && was != 0 {
				return through("it has the files of root")
			}
			continue
		}
		if errno == 0 {
			return through("%s worked", name)
		}
	}
	return stopped("it is uid %d, and stays so", os.Getuid())
}

func capabilities(context.Context, Targets) result {
	status, err := attack.ReadStatus("self")
	if err != nil {
		return through("the kernel does not say: %v", err)
	}
	for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"} {
		if bits, err := strconv.ParseUint(status[set], 16, 64); err != nil || bits != 0 {
			return through("%s is %s", set, status[set])
		}
	}
	if status["NoNewPrivs"] != "1" {
		return through("programs may get new rights")
	}
	return stopped("it has none, and no program gives it any")
}

// filter reads what the kernel says of the process that is process 1's child.
func filter(context.Context, Targets) result {
	status, err := attack.ReadStatus("self")
	if err != nil {
		return through("the kernel does not say: %v", err)
	}
	if status["Seccomp"] != "2" {
		return through("Seccomp is %q", status["Seccomp"])
	}
	return stopped("it is under one")
}

// setuidPrograms starts each, with nothing to say to it, and looks whose
// rights it has. Who reads a password waits.
func setuidPrograms(ctx context.Context, t Targets) result {
	own := strconv.Itoa(os.Getuid())
	seen := 0
	for _, path := range t.Setuid {
		info, err := os.Stat(path)
		if err != nil || info.Mode()&os.ModeSetuid == 0 {
			continue
		}
		cmd := exec.CommandContext(ctx, path)
		stdin, err := cmd.StdinPipe()
		if err != nil || cmd.Start() != nil {
			continue
		}
		seen++
		status, statusErr := attack.ReadStatus(strconv.Itoa(cmd.Process.Pid))
		_ = stdin.Close()
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
		uids := strings.Fields(status["Uid"])
		if statusErr == nil && len(uids) == 4 && (uids[1] != own || uids[2] != own) {
			return through("%s has the uids %v", path, uids)
		}
	}
	if seen == 0 {
		return absent("there is none")
	}
	return stopped("%d started, none has other rights", seen)
}

func raiseLimits(context.Context, Targets) result {
	for name, resource := range map[string]int{"open files": unix.RLIMIT_NOFILE, "locked memory": unix.RLIMIT_MEMLOCK, "processes": unix.RLIMIT_NPROC, "cores": unix.RLIMIT_CORE} {
		var limit unix.Rlimit
		if err := unix.Getrlimit(resource, &limit); err != nil || limit.Max == unix.RLIM_INFINITY {
			continue
		}
		limit.Max++
		if err := unix.Setrlimit(resource, &limit); err == nil {
			return through("%s: %d more than before", name, 1)
		}
	}
	// The kernel says 20 for none, and more the higher it is.
	priority, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		priority = 20
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 20-(priority+1)); err == nil {
		return through("its priority is above others'")
	}
	// Below zero everybody else's programs are killed before it.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-1"), 0); err == nil {
		return through("others are killed before it")
	}
	runtime.LockOSThread()
	// SCHED_FIFO, with priority 1.
	first := int32(1)
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, 1, addressOf(&first))
	if errno == 0 {
		return through("it is served before all others")
	}
	return stopped("each is as high as it gets")
}

func killedFirst(context.Context, Targets) result {
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return stopped("%v", err)
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(score))) // the kernel's own
	if n <= 0 {
		return stopped("it is killed in its turn")
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0); err != nil {
		return stopped("%v", err)
	}
	return through("its score was %d, and is 0", n)
}

func typeIntoTerminal(context.Context, Targets) result {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return stopped("there is no terminal: %v", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return stopped("no terminal of its own: %v", err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	if errno != 0 {
		return stopped("no terminal of its own: %v", errno)
	}
	defer func() { _ = unix.Close(int(peer)) }() //nolint:gosec // G115: a descriptor
	key := int32('x')
	for name, request := range map[string]uintptr{"TIOCSTI": unix.TIOCSTI, "TIOCLINUX": 0x541c, "TIOCSETD": unix.TIOCSETD, "TIOCSTI, high bit": 1<<32 | unix.TIOCSTI} {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, peer, request, addressOf(&key))
		if errno == 0 {
			return through("%s worked", name)
		}
	}
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		_ = tty.Close()
		if foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGSID); err == nil && foreground == 0 {
			return through("its terminal is of a session outside")
		}
	}
	return stopped("refused")
}
