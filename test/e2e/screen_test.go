package e2e_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// patience is how long a screen may take to show something. Under gVisor and
// the race detector's load a start of Claude Code takes some seconds.
const patience = 90 * time.Second

// screen is a person's terminal with a program in it.
type screen struct {
	t    *testing.T
	cmd  *exec.Cmd
	file *os.File

	mu      sync.Mutex
	output  []byte
	typed   int           // length of output when something was typed last
	changed chan struct{} // has room for one: something came since it was looked at
	ended   chan struct{}
}

// onScreen starts cmd in a terminal of 40 lines of 120 columns.
func onScreen(t *testing.T, cmd *exec.Cmd) *screen {
	t.Helper()
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 120})
	if err != nil {
		t.Fatal(err)
	}
	if file, err = closable(file); err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, cmd: cmd, file: file, changed: make(chan struct{}, 1), ended: make(chan struct{})}
	go s.read()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, if the test went well
		_ = file.Close()
		<-s.ended
	})
	return s
}

// closable is a person's end of a terminal that is gone when it is closed, also
// while it is read from.
func closable(file *os.File) (*os.File, error) {
	defer func() { _ = file.Close() }()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}

func (s *screen) read() {
	defer close(s.ended)
	buf := make([]byte, 4096)
	for {
		n, err := s.file.Read(buf)
		s.mu.Lock()
		s.output = append(s.output, buf[:n]...)
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
		if err != nil { // EIO: the program's end of the terminal is closed
			return
		}
	}
}

// escapes are control sequences (ECMA-48, 5.4), operating system commands
// and two-byte escapes.
var escapes = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]`)

// text is all that was shown so far, without escapes and blanks: programs
// that draw move the cursor over blanks instead of writing them.
func (s *screen) text() string { return s.textFrom(0) }

func (s *screen) textFrom(offset int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return compact(string(escapes.ReplaceAll(s.output[offset:], nil)))
}

func compact(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "\u00a0", " ")), "")
}

// shows waits until want was shown since something was typed last.
func (s *screen) shows(want string) {
	s.t.Helper()
	shown := func() bool { return strings.Contains(s.textFrom(s.typed), compact(want)) }
	deadline := time.After(patience)
	for !shown() {
		select {
		case <-s.changed:
		case <-s.ended:
			if !shown() {
				s.t.Fatalf("the program ended without showing %q:\n%s", want, s.text())
			}
			return
		case <-deadline:
			s.t.Fatalf("not shown in %v: %q. Shown:\n%s", patience, want, s.text())
		}
	}
}

// showsSoon waits for a moment until want was shown since something was typed last.
func (s *screen) showsSoon(want string) {
	for deadline := time.After(3 * time.Second); !strings.Contains(s.textFrom(s.typed), compact(want)); {
		select {
		case <-s.changed:
		case <-s.ended:
			return
		case <-deadline:
			return
		}
	}
}

// types what a person types; a line ends with "\r".
func (s *screen) types(text string) {
	s.t.Helper()
	s.mu.Lock()
	s.typed = len(s.output)
	s.mu.Unlock()
	if _, err := s.file.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the program's end and returns its exit code. Whoever is asked
// on the way whether to allow what was refused says no.
func (s *screen) ends() int {
	s.t.Helper()
	deadline := time.After(patience)
	for running := true; running; {
		if strings.HasSuffix(s.textFrom(s.typed), compact("[a]ll, numbers as 1,3, or [N]one? ")) {
			s.types("\r")
		}
		select {
		case <-s.changed:
		case <-s.ended:
			running = false
		case <-deadline:
			s.t.Fatalf("still running after %v:\n%s", patience, s.text())
		}
	}
	_ = s.cmd.Wait() // the code says it
	return s.cmd.ProcessState.ExitCode()
}
