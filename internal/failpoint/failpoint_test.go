package failpoint

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build compiles the program in testdata, with or without the points.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hit")
	out, err := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", program}, flags...), "./testdata/hit")...).CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

func command(t *testing.T, program, point, list string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), program, "a", "b", "c")
	cmd.Env = append(os.Environ(), "CLAUDE_BOTTLE_FAILPOINT="+point, "CLAUDE_BOTTLE_FAILPOINT_LIST="+list)
	return cmd
}

func TestPointsAct(t *testing.T) {
	program := build(t, "-tags", "failpoints")
	for _, c := range []struct {
		point, passed string
		code          int // -1: killed
	}{
		{"", "a b c", 0},
		{"other", "a b c", 0},
		{"b", "a", -1},
		{"b:kill", "a", -1},
		{"c:error", "a b", 3},
	} {
		list := filepath.Join(t.TempDir(), "list")
		out, err := command(t, program, c.point, list).Output()
		var exit *exec.ExitError
		code := 0
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		passed := strings.Fields(strings.ReplaceAll(string(out), "passed", ""))
		if got := strings.Join(passed, " "); code != c.code || !strings.HasPrefix(got, c.passed) {
			t.Errorf("%q: exit code %d and %q, want %d and %q", c.point, code, got, c.code, c.passed)
		}
		if c.point == "" {
			if names, err := os.ReadFile(list); string(names) != "a\nb\nc\n" {
				t.Errorf("the list holds %q, %v", names, err)
			}
		}
	}
}

func TestHang(t *testing.T) {
	cmd := command(t, build(t, "-tags", "failpoints"), "b:hang", "")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "passed a\n" {
		t.Errorf("it said %q, %v", line, err)
	}
	_ = out.(*os.File).SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := lines.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it did not hang: %v", err)
	}
	_ = cmd.Process.Kill()
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended by itself: %v", err)
	}
}

func TestReleaseHasNoPoints(t *testing.T) {
	program := build(t)
	out, err := command(t, program, "b:error", "").Output()
	if err != nil || string(out) != "passed a\npassed b\npassed c\n" {
		t.Errorf("without the tag: %q, %v", out, err)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(binary), "CLAUDE_BOTTLE_FAILPOINT") {
		t.Error("a build without the tag still holds the points")
	}
}

func TestStop(t *testing.T) {
	cmd := command(t, build(t, "-tags", "failpoints"), "b:stop:1", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it did not stop: %v, %v", status, err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGCONT: %v", err)
	}
}
