//go:build linux

package guest

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// harden closes the guest's own doors before anything of the agent's runs.
func harden() error {
	// Without this the agent, whose uid is the guest's, could trace process 1
	// and read its memory, its environment and its descriptors: ptrace(2),
	// PTRACE_MODE in proc(5). TestGuestIsClosedToItsOwnUID.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the guest not dumpable: %w", err)
	}
	// No core file of the guest or of anything inside: the workspace would
	// keep it, and with it the secrets of the harness's environment.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	if os.Getpid() != 1 {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("become the reaper: %w", err)
		}
	}
	return keepDescriptors()
}

// keepDescriptors makes sure that no process inherits more than its standard
// streams: a leaked descriptor of the engine's once was a way out to the
// host (CVE-2024-21626), and one of the boot stream would be the launcher's
// ear. TestNoDescriptorLeaks.
func keepDescriptors() error {
	if unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	// Before Linux 5.11, and in sandboxes that do not know the call.
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list descriptors: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list descriptors: %w", err)
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
