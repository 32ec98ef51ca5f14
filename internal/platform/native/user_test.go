//go:build linux

package native

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"claude-bottle/test/engine"
	escape "claude-bottle/test/escape/program"
)

// Ids of the ordinary user that the tests make themselves: nobody's here, with
// a group beside the user's own, as people have.
const (
	ordinaryUser  = 54321
	ordinaryGroup = 54322
)

// TestConformanceAsUser runs TestConformance as an ordinary user, which bottles
// of root never are: without any privilege, in the user's own directories.
func TestConformanceAsUser(t *testing.T) {
	needBubblewrap(t)
	out, err := asUser(t, "TestConformance").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "no tests to run") {
		t.Errorf("nothing was tested:\n%s", out)
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// asUser is this test binary as an ordinary user, running the test that is
// named.
func asUser(t *testing.T, test string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("the tests run as an ordinary user already")
	}
	home := reachableDir(t)
	programs := map[string]string{}
	for name, path := range map[string]string{
		"test": "/proc/self/exe", "claude-bottle": ourBinary(t), "escape": escape.Path(t),
	} {
		programs[name] = filepath.Join(home, name)
		copyProgram(t, path, programs[name])
	}
	temporary := filepath.Join(home, "tmp")
	if err := os.Mkdir(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{home, temporary} {
		if err := os.Chown(path, ordinaryUser, ordinaryUser); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-test.run=^" + test + "$", "-test.timeout=5m"}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := exec.CommandContext(t.Context(), programs["test"], args...)
	cmd.Dir = home
	cmd.Env = []string{
		"HOME=" + home, "TMPDIR=" + temporary, "PATH=" + searchPath, binaryVariable + "=" + programs["claude-bottle"],
		escape.Variable + "=" + programs["escape"],
		"CI=" + os.Getenv("CI"), engine.Parts + "=" + os.Getenv(engine.Parts),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: ordinaryUser, Gid: ordinaryUser, Groups: []uint32{ordinaryUser, ordinaryGroup}},
	}
	return cmd
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	if err := target.Chmod(0o755); err != nil {
		t.Fatal(err)
	}
}
