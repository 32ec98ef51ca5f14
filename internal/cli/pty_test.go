//go:build linux

package cli_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// place is a home, a state directory and a project for one test.
type place struct {
	home, state, project string
	env                  []string
}

func newPlace(t *testing.T, manifest string) place {
	t.Helper()
	root := t.TempDir()
	// The agent's uid must get at the run's directory.
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := place{home: root + "/home", state: root + "/state", project: root + "/project"}
	for _, dir := range []string{p.home, p.project} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, p.home+"/claude-bottle.yaml", manifest)
	p.env = []string{
		"HOME=" + p.home, "XDG_STATE_HOME=" + p.state, "TERM=xterm-256color", "PATH=/usr/local/bin:/usr/bin:/bin",
	}
	return p
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command is the program, run in the project.
func (p place) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Args = append([]string{"claude-bottle"}, args...)
	cmd.Dir, cmd.Env = p.project, p.env
	return cmd
}

// untouched fails the test when anything was made.
func (p place) untouched(t *testing.T) {
	t.Helper()
	if entries, err := os.ReadDir(p.state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory holds %v, %v", entries, err)
	}
}

// console is a person at a terminal in which the program runs.
type console struct {
	t    *testing.T
	tty  *os.File
	cmd  *exec.Cmd
	read chan struct{} // closed at the end of the output

	mu      sync.Mutex // guards what follows
	output  bytes.Buffer
	changed chan struct{} // closed and replaced when there is more
	seen    int           // what expect has passed
}

func (p place) console(t *testing.T, args ...string) *console {
	t.Helper()
	c := &console{t: t, cmd: p.command(t, args...), read: make(chan struct{}), changed: make(chan struct{})}
	tty, err := pty.StartWithSize(c.cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	c.tty = tty
	// Else Ctrl-C throws away what is printed at the same moment, which is
	// for a person's eyes and not for a test's.
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	state.Lflag |= unix.NOFLSH
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, state); err != nil {
		t.Fatal(err)
	}
	go c.listen()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.tty.Close()
		<-c.read
	})
	return c
}

func (c *console) listen() {
	defer close(c.read)
	buf := make([]byte, 4096)
	for {
		n, err := c.tty.Read(buf)
		c.mu.Lock()
		c.output.Write(buf[:n])
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// expect waits until text is on the screen, after what was expected before.
func (c *console) expect(text string) {
	c.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		rest, changed := c.output.String()[c.seen:], c.changed
		if i := strings.Index(rest, text); i >= 0 {
			c.seen += i + len(text)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		select {
		case <-changed:
		case <-deadline.C:
			c.t.Fatalf("never saw %q in\n%s", text, c.screen())
		}
	}
}

func (c *console) screen() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.output.String()
}

// types sends keys.
func (c *console) types(keys string) {
	c.t.Helper()
	if _, err := io.WriteString(c.tty, keys); err != nil {
		c.t.Fatal(err)
	}
}

const ctrlC = "\x03"

// ends waits for the end and wants a code.
func (c *console) ends(code int) {
	c.t.Helper()
	wantCode(c.t, c.cmd, c.cmd.Wait(), code)
	if c.t.Failed() {
		c.t.Log(c.screen())
	}
}

// echoes says whether the terminal shows what is typed, as it must between
// programs.
func (c *console) echoes() bool {
	c.t.Helper()
	// The flags are the terminal's, whichever end asks.
	state, err := unix.IoctlGetTermios(int(c.tty.Fd()), unix.TCGETS)
	if err != nil {
		c.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0 && state.Lflag&unix.ICANON != 0 && state.Lflag&unix.ISIG != 0
}

func wantCode(t *testing.T, cmd *exec.Cmd, err error, code int) {
	t.Helper()
	if cmd.ProcessState == nil {
		t.Fatalf("did not run: %v", err)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() || status.ExitStatus() != code {
		t.Errorf("ended with %v, want code %d", cmd.ProcessState, code)
	}
}
