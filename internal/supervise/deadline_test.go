//go:build linux

package supervise

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asProcess, set in the environment, makes this test's program what it says.
const asProcess = "SUPERVISE_TEST_PROCESS"

func TestMain(m *testing.M) {
	switch os.Getenv(asProcess) {
	case "waits":
		_ = within(50*time.Millisecond, func() error { return poll(-1) })
	case "goes on":
		if err := within(50*time.Millisecond, func() error { return nil }); err != nil {
			panic(err)
		}
		_ = poll(200) // four times the patience
	case "":
		m.Run()
	}
}

// poll waits in the kernel, where no timer of Go's ends it.
func poll(milliseconds int) error {
	_, err := unix.Poll(nil, milliseconds)
	return err
}

// A process whose own timers may not run is ended by the kernel in time, and by
// nothing once it is through.
func TestWithin(t *testing.T) {
	for process, killed := range map[string]bool{"waits": true, "goes on": false} {
		t.Run(process, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
			cmd.Env = append(os.Environ(), asProcess+"="+process)
			err := cmd.Run()
			var exit *exec.ExitError
			if got := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGKILL; got != killed {
				t.Errorf("ended with %v; killed: want %v", err, killed)
			}
		})
	}
}

// Where a user has as many signals pending as it may, nothing is begun that
// needs one more.
func TestWithinWithoutSignals(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_SIGPENDING, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_SIGPENDING, &unix.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_SIGPENDING, &limit) }()
	called := false
	err := within(time.Minute, func() error { called = true; return nil })
	if err == nil || called {
		t.Errorf("no signal may be pending: error %v, called %v", err, called)
	}
}
