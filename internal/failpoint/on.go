//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// passed counts how often the point that acts was passed.
var passed atomic.Int64

// due says whether this is the time to act: the one that is asked for, else
// the first and all after it.
func due(times string) bool {
	n := passed.Add(1)
	wanted, err := strconv.ParseInt(times, 10, 64)
	return err != nil || n == wanted
}

// Hit acts out what the environment asks for at the point name.
func Hit(name string) error {
	if list := os.Getenv("CLAUDE_BOTTLE_FAILPOINT_LIST"); list != "" {
		if f, err := os.OpenFile(list, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintln(f, name)
			f.Close()
		}
	}
	trace("point", name)
	fields := strings.Split(os.Getenv("CLAUDE_BOTTLE_FAILPOINT")+"::", ":")
	if fields[0] != name || !due(fields[2]) {
		return nil
	}
	switch fields[1] {
	case "error":
		return fmt.Errorf("failpoint %s", name)
	case "hang":
		for { // in a system call: the runtime would end a process whose goroutines all wait
			_, _ = unix.Select(0, nil, nil, nil, nil)
		}
	case "stop":
		return syscall.Kill(os.Getpid(), syscall.SIGSTOP) // goes on after SIGCONT
	default:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Span traces how long something takes: from its call to that of end.
func Span(name string) (end func()) {
	trace("begin", name)
	return func() { trace("end", name) }
}

// trace appends a line "NANOSECONDS WHAT NAME", the time since the epoch.
func trace(what, name string) {
	path := os.Getenv("CLAUDE_BOTTLE_FAILPOINT_TRACE")
	if path == "" {
		return
	}
	line := fmt.Sprintf("%d %s %s\n", time.Now().UnixNano(), what, name)
	if f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		_, _ = f.WriteString(line)
		_ = f.Close()
	}
}
