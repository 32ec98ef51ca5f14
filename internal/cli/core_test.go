package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// coring is set for the process that TestWithoutCore starts.
const coring = "CLAUDE_BOTTLE_TEST_CORING"

// TestWithoutCore: a process whose environment and limit ask for a core leaves
// none, where one that says nothing does.
func TestWithoutCore(t *testing.T) {
	if os.Getenv(coring) != "" {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
			t.Fatal(err)
		}
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
			t.Fatal(err)
		}
		if os.Getenv(coring) == "none" {
			if err := withoutCore(); err != nil {
				t.Fatal(err)
			}
		}
		_ = unix.Kill(os.Getpid(), unix.SIGABRT)
		<-time.After(time.Minute)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "none"} {
		cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestWithoutCore$")
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), coring+"="+want, "GOTRACEBACK=crash", "TMPDIR="+cmd.Dir)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Fatalf("it did not crash\n%s", out)
		}
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		left, _ := filepath.Glob(filepath.Join(cmd.Dir, "*core*"))
		switch {
		case want == "one" && !status.CoreDump():
			t.Skipf("this machine makes no cores: %v", err)
		case want == "none" && (status.CoreDump() || len(left) > 0):
			t.Errorf("a core is left: %v %q", status.CoreDump(), left)
		}
	}
}
