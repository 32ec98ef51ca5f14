package gateway

import (
	"fmt"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/confine"
)

// harden makes the process give nothing away: no core dump, no ptrace and no
// reading of its memory by others of its uid (prctl(2), PR_SET_DUMPABLE), no
// way to more privileges. (The runtime takes all descriptors it may have.)
func harden() error {
	quietly()
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("become not dumpable: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}

// confineSelf leaves the process nothing but to serve: no program can be
// started and no code brought in. It is for good, and for a process that is
// only a gateway.
func confineSelf() error { return confine.Gateway().Apply() }

// confineHost puts on the process, and on what it starts, what all that runs
// in a bottle has on.
func confineHost() error { return confine.Bottle().Apply() }
