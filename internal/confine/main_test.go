//go:build linux

package confine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test's binary is also what it confines: a filter is for good.
const (
	roleVariable = "CONFINE_TEST_ROLE"
	roleTry      = "try"     // make each call of the table, as it is
	roleTryBound = "bound"   // the same under the filter
	roleThreads  = "threads" // say how the kernel sees each thread and a child
	roleTwice    = "twice"   // apply where an outer filter forbids it
	roleRun      = "run"     // run the arguments under the filter
	roleTime     = "time"    // print what Apply took
	roleGateway  = "gateway" // serve, dial and try to break out under the gateway's policy
)

func TestMain(m *testing.M) {
	code, err := 0, error(nil)
	switch role := os.Getenv(roleVariable); role {
	case "":
		code = m.Run()
	case roleThreads:
		err = reportThreads(os.Stdout)
	case roleTwice:
		err = applyTwice()
	case roleTime:
		err = timeApply(os.Stdout)
	case roleTry:
		err = tryAll(os.Stdout)
	case roleTryBound:
		if err = Bottle().Bounded().Apply(); err == nil {
			err = tryAll(os.Stdout)
		}
	case roleGateway:
		err = beGateway(os.Stdout)
	case roleRun:
		if err = Bottle().Apply(); err == nil {
			err = become(os.Args[1:])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code) //nolint:forbidigo // most roles are no test
}

// become executes a program in place of this one.
func become(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	_ = os.Unsetenv(roleVariable)
	return &os.PathError{Op: "execute", Path: path, Err: syscall.Exec(path, argv, os.Environ())}
}

// inRole is the test's binary as a command, in a session and directory of its
// own.
func inRole(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // its session's
	cmd.WaitDelay = time.Second
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "GORACE=atexit_sleep_ms=0", "HOME="+cmd.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// output runs it, and fails the test when it fails.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args[1:], " "), err, out, stderr.String())
	}
	return string(out)
}
