package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
)

// crashing is set for the process that TestCrashTellsNothing starts.
const crashing = "CLAUDE_BOTTLE_TEST_CRASHING"

// TestCrashingGateway is no test by itself: it is a gateway that has secrets, and
// waits for what ends it.
func TestCrashingGateway(t *testing.T) {
	if os.Getenv(crashing) == "" {
		return
	}
	// By standard input, as a boot frame comes: an environment is not hidden
	// from who started the process.
	value, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	value = strings.TrimSpace(value)
	if err := harden(); err != nil {
		t.Fatal(err)
	}
	s := broker.Secret{Entry: policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}}, Pair: pairOf(t, value)}
	f := brokerWorld(t, newWorld(), policy.Egress{}, s)
	f.server.broker.Warm()
	go crashHere(s, value, []byte(value), make(chan struct{})) // ends with the process
	_, _ = io.WriteString(os.Stdout, "ready\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// crashHere has a secret among the arguments of a function that waits.
//
//go:noinline
func crashHere(s broker.Secret, text string, raw []byte, never <-chan struct{}) {
	<-never
	for _, held := range []any{s, text, raw} { // they live until then
		runtime.KeepAlive(held)
	}
}

// A gateway that crashes leaves no core, whatever its environment says, and what
// it prints of itself holds no secret; while it lives, no process of its user
// can look into it.
func TestCrashTellsNothing(t *testing.T) {
	const value = "ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zA7b0"
	const nobody = 65534
	program := executable(t)
	for name, sig := range map[string]syscall.Signal{"abort": syscall.SIGABRT, "quit": syscall.SIGQUIT, "segv": syscall.SIGSEGV} {
		t.Run(name, func(t *testing.T) {
			dir := openDir(t) // where a core would go
			cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestCrashingGateway$")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), crashing+"=1", "GOTRACEBACK=crash", "TMPDIR="+dir)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			cmd.Stderr = &said
			asRoot := os.Getuid() == 0
			if asRoot {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill() }()
			fmt.Fprintln(in, value)
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
				t.Fatalf("%q, %v: %s", line, err, said.String())
			}
			if asRoot { // who is root may look
				neighbour(t, cmd.Process.Pid, nobody)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if err == nil || status.CoreDump() {
				t.Errorf("it ended with %v, a core %v", err, status.CoreDump())
			}
			text := said.String()
			if !strings.Contains(text, "goroutine ") || strings.Contains(text, value) || strings.Contains(text, value[4:20]) {
				t.Errorf("it said %d bytes, the value %v", len(text), strings.Contains(text, value[4:20]))
			}
			if cores, _ := filepath.Glob(filepath.Join(dir, "*core*")); len(cores) > 0 {
				t.Errorf("left behind: %v", cores)
			}
		})
	}
}

// executable is this program where anybody may start it.
func executable(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(openDir(t), "gateway")
	if err := os.WriteFile(path, self, 0o755); err != nil { //nolint:gosec // G306: a program
		t.Fatal(err)
	}
	return path
}

// openDir is a directory for everybody.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o777); err != nil { //nolint:gosec // G302: as it says
			t.Fatal(err)
		}
	}
	return dir
}

// neighbour looks into a process as another of its user's would.
func neighbour(t *testing.T, pid, uid int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `for f in mem maps environ auxv stack io fd/0 exe cwd root; do
		if cat /proc/$1/$f >/dev/null 2>&1 || ls /proc/$1/fd/ >/dev/null 2>&1; then echo "$f is readable"; fi; done`, "sh", fmt.Sprint(pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}} //nolint:gosec // G115: small
	cmd.Dir = "/"
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("a neighbour: %s %v", out, err)
	}
}
