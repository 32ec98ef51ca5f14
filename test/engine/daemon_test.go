package engine_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"claude-bottle/test/engine"
)

// inside is set in the process that has a network of its own.
const inside = "CLAUDE_BOTTLE_TEST_INSIDE"

// A daemon of ours starts, answers, stops, and leaves the machine as it was.
// It is tried in a network namespace, where its packet filter rules meet
// nobody else's.
func TestOwnDaemonLeavesNothing(t *testing.T) {
	if os.Getenv(inside) != "" {
		ownDaemon(t)
		return
	}
	for _, program := range []string{"dockerd", "iptables", "ip"} {
		if _, err := exec.LookPath(program); err != nil || os.Geteuid() != 0 {
			t.Skipf("needs root and %s: %v", program, err)
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1", "XDG_CACHE_HOME="+t.TempDir(),
		"DOCKER_HOST=unix://"+filepath.Join(t.TempDir(), "nobody.sock"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS")) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func ownDaemon(t *testing.T) {
	before := observe(t)
	e, err := engine.Up(t.Context(), engine.Options{Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_HOST", e.Host)
	if host, err := engine.Find(t.Context()); err != nil || host != e.Host {
		t.Errorf("Find = %q, %v; the engine is at %q", host, err, e.Host)
	}
	if len(added(before, observe(t))) == 0 {
		t.Error("a running daemon cannot be told from none: the comparison is blind")
	}
	if err := e.Down(); err != nil {
		t.Error(err)
	}
	if left := added(before, observe(t)); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// added are the lines of after that are not in before. What vanished is not
// looked at: other daemons of the machine end things while this test runs.
func added(before, after []string) []string {
	return slices.DeleteFunc(after, func(line string) bool { return slices.Contains(before, line) })
}

// observe is what a daemon could leave behind, a line each.
func observe(t *testing.T) []string {
	t.Helper()
	var seen []string
	for _, table := range []string{"filter", "nat"} {
		out, err := exec.CommandContext(t.Context(), "iptables", "-t", table, "-S").Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			seen = append(seen, table+" "+strings.TrimSpace(line))
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		seen = append(seen, "interface "+i.Name)
	}
	for _, path := range []string{"/proc/self/mounts", "/proc/sys/net/ipv4/ip_forward"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			seen = append(seen, path+" "+strings.TrimSpace(line))
		}
	}
	dirs, err := filepath.Glob("/run/claude-bottle-engine-*")
	if err != nil {
		t.Fatal(err)
	}
	return append(seen, dirs...)
}
