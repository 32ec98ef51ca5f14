package cli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// withoutCore has this process, and what it starts, leave no core, whatever
// GOTRACEBACK and the session say: it is about to hold secrets, and a core is a
// file (TestWithoutCore). The limit is one byte and not none: a
// program that collects cores gets those of processes that may have none, and
// only one byte keeps the kernel from calling it (core(5), fs/coredump.c).
func withoutCore() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return fmt.Errorf("read the limit of core dumps: %w", err)
	}
	limit.Cur = min(limit.Cur, 1)
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}
