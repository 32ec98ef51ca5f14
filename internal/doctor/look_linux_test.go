package doctor

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLookAtStateDirLeavesNoTrace(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "a", "b")
	s := LookAtStateDir(path, os.Getuid())
	if !s.Missing || s.Near != home || s.Problem != "" || !s.Writable || s.Free == 0 {
		t.Errorf("saw %+v", s)
	}
	if names, _ := os.ReadDir(home); len(names) != 0 {
		t.Errorf("it left %v", names)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if s = LookAtStateDir(path, os.Getuid()); s.Missing || s.Mode.Perm() != 0o777 || s.Owner != os.Getuid() {
		t.Errorf("saw %+v", s)
	}
	if got := JudgeStateDir(s); got.State != Warn {
		t.Errorf("a directory that others may write to: %+v", got)
	}
	file := filepath.Join(home, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{file, filepath.Join(file, "below")} {
		if s = LookAtStateDir(wrong, os.Getuid()); s.Problem == "" {
			t.Errorf("%s: saw %+v", wrong, s)
		}
	}
}

func TestLookAtKernel(t *testing.T) {
	k := LookAtKernel()
	if k.Release == "" || len(k.Seccomp) == 0 {
		t.Errorf("saw %+v", k)
	}
	for _, check := range JudgeKernel(k) {
		t.Logf("%s %s: %s", check.State, check.Name, check.Detail)
	}
}
