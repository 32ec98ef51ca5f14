//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Hit acts out what the environment asks for at the point name.
func Hit(name string) error {
	if list := os.Getenv("CLAUDE_BOTTLE_FAILPOINT_LIST"); list != "" {
		if f, err := os.OpenFile(list, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintln(f, name)
			f.Close()
		}
	}
	point, action, _ := strings.Cut(os.Getenv("CLAUDE_BOTTLE_FAILPOINT"), ":")
	if point != name {
		return nil
	}
	switch action {
	case "error":
		return fmt.Errorf("failpoint %s", name)
	case "hang":
		for { // in a system call: the runtime would end a process whose goroutines all wait
			_, _ = unix.Select(0, nil, nil, nil, nil)
		}
	default:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
