//go:build linux

package native

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/supervise"
)

// TestWatchersAreShared has a bottle take all watches of files that there are:
// most are left to the person's own programs.
func TestWatchersAreShared(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	check(t, err)
	all, err := strconv.Atoi(strings.TrimSpace(string(text)))
	check(t, err)
	b, _ := launched(t, nil)
	out := sh(t, b, `python3 -c '
import ctypes
libc, n = ctypes.CDLL(None), 0
while n < 10000 and libc.inotify_init() >= 0: n += 1
print(n)'`)
	if n, err := strconv.Atoi(strings.TrimSpace(out)); err != nil || n < 1 || n > all/supervise.SharedPart {
		t.Errorf("a bottle has %q of %d", out, all)
	}
}

// TestNestedMakesFewNamespaces: they are the kernel's memory, and no process's.
func TestNestedMakesFewNamespaces(t *testing.T) {
	b, _ := launched(t, func(spec *bottle.Spec) { spec.Nested, spec.Limits.PIDs = true, 2000 })
	out := sh(t, b, `unshare -Ur sh -c '
		n=0; while [ $n -lt 400 ] && unshare -i sh -c "sleep 100 >/dev/null 2>&1 &" 2>/dev/null; do n=$((n+1)); done; echo $n'`)
	if n, err := strconv.Atoi(strings.TrimSpace(out)); err != nil || n < 1 || n >= supervise.NestedNamespaces {
		t.Errorf("it made %q namespaces", out)
	}
}
