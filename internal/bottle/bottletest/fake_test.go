//go:build linux

package bottletest

import (
	"bytes"
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
	// A directory of this process's own, by which it knows its bottles from those
	// of the same test that somebody else runs at the same time.
	dir, err := os.MkdirTemp("", "fake-")
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	if err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code) //nolint:forbidigo // this is a main
	}))
}

func TestFake(t *testing.T) {
	Run(t, Config{
		New: func(_ *testing.T, store *runs.Store, lookup func(string) (string, bool)) bottle.Platform {
			return NewFake(store, lookup)
		},
		Observe: insideProcesses,
		Signal: func(t *testing.T, b bottle.Bottle, part Part, signal unix.Signal) {
			if part != Guest {
				t.Fatalf("a fake bottle has no %s", part)
			}
			if err := unix.Kill(b.(*fakeBottle).inside.cmd.Process.Pid, signal); err != nil {
				t.Fatal(err)
			}
		},
		Place: OnFake,
	})
}

// insideProcesses lists the bottles of this test, those of launchers that died
// included: their runs are below its temporary directories. Other tests may
// run beside it.
func insideProcesses(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	var found []string
	for _, path := range paths {
		command, err := os.ReadFile(path)
		if err == nil && bytes.HasPrefix(command, []byte(insideName)) && bytes.Contains(command, []byte(os.TempDir()+"/"+name)) {
			found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}
