//go:build linux

package guest

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"claude-bottle/internal/wire"
)

// screen collects a terminal's output and tells when a text has come.
type screen struct {
	mu    sync.Mutex
	text  bytes.Buffer
	hooks map[string]func()
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	for text, hook := range s.hooks {
		if strings.Contains(s.text.String(), text) {
			delete(s.hooks, text)
			go hook()
		}
	}
	return len(p), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// keyboard types lines when told.
func keyboard(t *testing.T) (io.Reader, func(string)) {
	t.Helper()
	read, write := io.Pipe()
	t.Cleanup(func() { _ = write.Close() })
	return read, func(text string) { _, _ = io.WriteString(write, text) }
}

func onTerminal(script string) wire.Start {
	start := sh(script)
	start.Terminal, start.Size = true, wire.Size{Rows: 31, Cols: 97}
	return start
}

func TestTerminalIsOne(t *testing.T) {
	t.Parallel()
	b := launch(t)
	script := "stty size; test -t 0 && test -t 1 && test -t 2 && echo tty; echo $TERM; " +
		"ps -o tty= -p $$ | grep -q pts && echo controlling; grep flags /proc/self/fdinfo/0; echo err >&2"
	got := run(t, b.GuestClient, onTerminal(script), "")
	for _, want := range []string{"31 97\r\n", "tty\r\n", "xterm\r\n", "controlling\r\n", "err\r\n"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in %q", want, got.stdout)
		}
	}
	if got.stderr != "" {
		t.Errorf("standard error of a terminal: %q", got.stderr)
	}
	var flags int
	for line := range strings.Lines(got.stdout) {
		if text, ok := strings.CutPrefix(line, "flags:"); ok {
			for _, digit := range strings.TrimSpace(text) {
				flags = flags*8 + int(digit-'0')
			}
		}
	}
	if flags == 0 || flags&syscall.O_NONBLOCK != 0 {
		t.Errorf("descriptor flags %o: a program's reads must block", flags)
	}
}

func TestTerminalChangesItsSize(t *testing.T) {
	t.Parallel()
	b := launch(t)
	resize := make(chan wire.Size, 1)
	out := &screen{hooks: map[string]func(){"ready": func() { resize <- wire.Size{Rows: 5, Cols: 6} }}}
	start := onTerminal("trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.01; done")
	exit, err := b.Exec(deadline(t), start, wire.Streams{Stdin: hang(t), Stdout: out, Resize: resize})
	if err != nil || exit.Code != 4 || !strings.Contains(out.String(), "5 6") {
		t.Errorf("%+v %v %q", exit, err, out.String())
	}
}

// hang is an input on which nothing comes.
func hang(t *testing.T) io.Reader {
	t.Helper()
	r, _ := keyboard(t)
	return r
}

func TestKeysAndSignalsReachTheForegroundJob(t *testing.T) {
	t.Parallel()
	b := launch(t)
	for _, test := range []struct {
		name, script string
		key          string
		signal       os.Signal
		code         int
	}{
		{"Ctrl-C", "echo ready; exec sleep 60", "\x03", nil, 130},
		{"Ctrl-backslash", "echo ready; exec sleep 60", "\x1c", nil, 131},
		{"SIGINT to a job", "set -m; sh -c 'echo ready; exec sleep 60'; exit $?", "", syscall.SIGINT, 130},
		{"SIGTERM", "echo ready; exec sleep 60", "", syscall.SIGTERM, 143},
		{"SIGHUP", "echo ready; exec sleep 60", "", syscall.SIGHUP, 129},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, enter := keyboard(t)
			signals := make(chan os.Signal, 1)
			out := &screen{hooks: map[string]func(){"ready": func() {
				if test.signal != nil {
					signals <- test.signal
					return
				}
				enter(test.key)
			}}}
			exit, err := b.Exec(deadline(t), onTerminal(test.script), wire.Streams{Stdin: in, Stdout: out, Signals: signals})
			if err != nil || exit.Code != test.code {
				t.Errorf("%+v %v, want %d; %q", exit, err, test.code, out.String())
			}
		})
	}
}

func TestSignalsWithoutATerminalReachTheGroup(t *testing.T) {
	t.Parallel()
	b := launch(t)
	signals := make(chan os.Signal, 1)
	out := onWrite(func() { signals <- syscall.SIGTERM })
	start := sh("trap 'echo no' TERM; sh -c 'echo ready; exec sleep 83'; exit 9")
	exit, err := b.Exec(deadline(t), start, wire.Streams{Stdout: out, Signals: signals})
	if err != nil || exit.Code != 9 {
		t.Errorf("%+v %v", exit, err)
	}
	gone(t, b.GuestClient, "sleep 83")
}

func TestEndOfInputIsTypedOnATerminal(t *testing.T) {
	t.Parallel()
	b := launch(t)
	for _, input := range []string{"", "line\n", "no newline"} {
		got := run(t, b.GuestClient, onTerminal("stty -echo; cat; echo over"), input)
		if got.exit.Code != 0 || !strings.Contains(got.stdout, "over") || !strings.Contains(got.stdout, strings.TrimSpace(input)) {
			t.Errorf("%q: %+v", input, got)
		}
	}
}

func TestLargeOutputOfATerminal(t *testing.T) {
	t.Parallel()
	b := launch(t)
	out := &counter{}
	exit, err := b.Exec(deadline(t), onTerminal("stty raw -echo; head -c 20000000 /dev/zero"), wire.Streams{Stdout: out})
	if err != nil || exit.Code != 0 || out.n != 20_000_000 {
		t.Errorf("%d bytes, %+v %v", out.n, exit, err)
	}
}
