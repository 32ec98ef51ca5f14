//go:build linux

package bottletest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
)

func TestMain(m *testing.M) {
	Main()
	goleak.VerifyTestMain(m)
}

func TestFake(t *testing.T) {
	Run(t, Config{
		New: func(_ *testing.T, store *runs.Store, lookup func(string) (string, bool)) bottle.Platform {
			return NewFake(store, lookup)
		},
		Observe: insideProcesses,
		Kill: func(t *testing.T, b bottle.Bottle, part Part) {
			if part != Guest {
				t.Fatalf("a fake bottle has no %s", part)
			}
			if err := unix.Kill(b.(*fakeBottle).inside.cmd.Process.Pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
		Refuses: map[string]string{"teardown/lost gateway is reported": "it has no gateway"},
	})
}

// insideProcesses lists the bottles of this test binary: others may run
// beside it.
func insideProcesses(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		command, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(command, []byte(insideName)) {
			continue
		}
		if parent(filepath.Dir(path)) == os.Getpid() {
			found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}

func parent(proc string) int {
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return 0
	}
	var state string
	var ppid int
	_, _ = fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+1:]), "%s %d", &state, &ppid)
	return ppid
}
