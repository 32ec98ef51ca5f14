//go:build linux

// Package machine is the tests that run inside the machine of test/vm, as its
// root, under systemd: see there. Elsewhere there are none.
package machine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// restricted is the file that stands for Ubuntu's setting; a machine of test/vm
// names it.
var restricted = os.Getenv("RESTRICTED")

func TestMain(m *testing.M) {
	if restricted == "" {
		fmt.Fprintln(os.Stderr, "these tests are for the machine that `make test-vm` brings up")
		return
	}
	os.Exit(m.Run()) //nolint:forbidigo // this is a main
}

// user is the machine's ordinary one.
const user = "ada"

// asRoot, inSession and bare are how a command is started: by root; as a person
// who logged in, with a manager of their own (pam_systemd(8)); and as a user who
// has none.
func asRoot(argv ...string) []string { return argv }

func inSession(argv ...string) []string {
	return append([]string{
		"systemd-run", "--quiet", "--wait", "--pipe", "-p", "User=" + user, "-p", "PAMName=login", "-p", "WorkingDirectory=~",
		"--setenv=HOME=/home/" + user, "--setenv=PATH=/usr/bin:/bin",
	}, append(passed(), argv...)...)
}

func bare(argv ...string) []string {
	return append([]string{"systemd-run", "--quiet", "--wait", "--pipe", "-p", "User=" + user, "-p", "WorkingDirectory=~", "--setenv=PATH=/usr/sbin:/usr/bin:/bin"},
		append(passed(), argv...)...)
}

// passed is what tests have from the machine's environment.
func passed() []string {
	var settings []string
	for _, pair := range os.Environ() {
		if strings.HasPrefix(pair, "CLAUDE_BOTTLE_TEST_") {
			settings = append(settings, "--setenv="+pair)
		}
	}
	return settings
}

// output runs a command, and returns what it prints.
func output(t *testing.T, argv ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // also of what undoes
	defer cancel()
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	return string(out), err
}

func must(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := output(t, argv...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return out
}

// suite runs tests of package native, whose output is shown as it comes.
func suite(t *testing.T, start func(...string) []string, tests string) {
	t.Helper()
	argv := start("/programs/native.test", "-test.v", "-test.timeout=2h", "-test.run="+tests)
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(os.Stdout, &out)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	if text := out.String(); !strings.Contains(text, "--- PASS") || strings.Contains(text, "refused: limits") {
		t.Error("not all was tested")
	}
}

// limits are the tests that limits hold, and by what. That of a tenth of a
// processor is left out: an emulated one takes too long to launch so. The suite
// has one of a half.
const limits = "^(TestMemoryLimit|TestForkBomb|TestGroupsAreRemoved|TestNestedKeepsItsLimits|TestNoSandboxWithin)$"

func TestLimitsOfRoot(t *testing.T)  { suite(t, asRoot, limits) }
func TestLimitsOfAUser(t *testing.T) { suite(t, inSession, limits) }
func TestUserWithoutARight(t *testing.T) {
	suite(t, bare, "^TestLimitsThatCannotBeEnforced$")
}

// TestConformance is the suite of all platforms, with limits held by scopes of
// systemd.
func TestConformanceOfRoot(t *testing.T)  { suite(t, asRoot, "^TestConformance$") }
func TestConformanceOfAUser(t *testing.T) { suite(t, inSession, "^TestConformance$") }

// TestKilled ends the launcher or the supervisor by force: systemd's scope is
// gone soon, and the next command finds nothing but the work.
func TestKilled(t *testing.T) {
	manifest(t)
	for name, start := range map[string]func(...string) []string{"root": asRoot, "user": inSession} {
		for _, victim := range []string{"claude-bottle start", "claude-bottle supervise"} {
			t.Run(name+"/"+victim, func(t *testing.T) { killed(t, start, victim) })
		}
	}
}

func killed(t *testing.T, start func(...string) []string, victim string) {
	t.Helper()
	argv := start("/programs/claude-bottle", "start", "limited", "--platform", "native", "--yes", "--", "-c", "echo at work; exec sleep 3600")
	launcher := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	out, err := launcher.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := launcher.Start(); err != nil {
		t.Fatal(err)
	}
	if err := readTo(out, "at work"); err != nil {
		t.Fatal(err)
	}
	if len(scopes(t)) != 1 {
		t.Errorf("while it runs there are %q", scopes(t))
	}
	must(t, "pkill", "-KILL", "-f", "^(/programs/)?"+victim)
	_, _ = io.Copy(io.Discard, out)
	_ = launcher.Wait() // it was killed, or says that its bottle was lost
	for deadline := time.Now().Add(time.Minute); len(scopes(t)) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("there is still %q", scopes(t))
		}
	}
	must(t, start("/programs/claude-bottle", "cleanup", "--yes")...)
	if left := must(t, start("/programs/claude-bottle", "cleanup", "--yes")...); !strings.Contains(left, "nothing to remove") {
		t.Errorf("left: %s", left)
	}
}

func readTo(from io.Reader, word string) error {
	var seen strings.Builder
	one := make([]byte, 4096)
	for !strings.Contains(seen.String(), word) {
		n, err := from.Read(one)
		seen.Write(one[:n])
		if err != nil {
			return fmt.Errorf("%w after\n%s", err, seen.String())
		}
	}
	return nil
}

// scopes are the bottles' control groups, wherever they are.
func scopes(t *testing.T) []string {
	t.Helper()
	return strings.Fields(must(t, "find", "/sys/fs/cgroup", "-ignore_readdir_race", "-type", "d", "-name", "claude-bottle-*"))
}

// manifest is one for everybody in the machine, in their homes.
func manifest(t *testing.T) {
	t.Helper()
	const text = `bottles:
  open: {egress: {allowlist: []}}
  limited: {egress: {allowlist: []}, limits: {memory: 256MiB, cpus: 1, pids: 100}}
agents:
  plain: {bottle: open, harness: {command: [sh]}}
  limited: {bottle: limited, harness: {command: [sh]}}
`
	for _, home := range []string{"/root", "/home/" + user} {
		path := filepath.Join(home, "claude-bottle.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // G306: ada reads one
			t.Fatal(err)
		}
		must(t, "chown", "--reference="+home, path)
	}
}
