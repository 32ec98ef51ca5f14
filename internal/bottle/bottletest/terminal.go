package bottletest

import (
	"io"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/wire"
)

func terminalRows() []row {
	return []row{
		{"is a terminal", isTerminal},
		{"is none unless asked for", isNoTerminal},
		{"size", terminalSize},
		{"resize", terminalResize},
		{"interrupt character", interruptCharacter},
		{"end of file character", endOfFileCharacter},
		{"controlling terminal", controllingTerminal},
		{"full-screen bytes", fullScreenBytes},
	}
}

// session is one process on a terminal. typed maps what it prints to what is
// typed then, each once, in order.
func session(t *testing.T, s *suite, script string, resize <-chan wire.Size, typed ...[2]string) (wire.Exit, string) {
	t.Helper()
	reader, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	var typing sync.WaitGroup
	defer typing.Wait()
	defer func() { _ = reader.Close() }()
	out := newWatcher(func(text string) {
		for len(typed) > 0 && strings.Contains(text, typed[0][0]) {
			keys := typed[0][1]
			typed = typed[1:]
			typing.Go(func() { _, _ = io.WriteString(writer, keys) })
		}
	})
	exit, err := s.bottle.Exec(bounded(t), wire.Start{
		Argv: []string{"sh", "-c", script}, Terminal: true, Size: wire.Size{Rows: 24, Cols: 80}, Env: []string{"TERM=xterm"},
	}, wire.Streams{Stdin: reader, Stdout: out, Resize: resize})
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return exit, out.text.String()
}

func isTerminal(t *testing.T, s *suite) {
	exit, text := session(t, s, `test -t 0 && test -t 1 && test -t 2 && echo "terminal $TERM"; exit 6`, nil)
	if exit.Code != 6 || text != "terminal xterm\r\n" {
		t.Errorf("code %d, %q", exit.Code, text)
	}
}

func isNoTerminal(t *testing.T, s *suite) {
	prints(t, s.bottle, "none\n", "test -t 0 || test -t 1 || test -t 2 || echo none")
}

func terminalSize(t *testing.T, s *suite) {
	if _, text := session(t, s, "stty size", nil); text != "24 80\r\n" {
		t.Errorf("%q", text)
	}
}

func terminalResize(t *testing.T, s *suite) {
	resize := make(chan wire.Size, 1)
	resize <- wire.Size{Rows: 31, Cols: 101}
	_, text := session(t, s, `trap 'stty size; exit 0' WINCH; until [ "$(stty size)" = "31 101" ]; do sleep 0.05; done; stty size`, resize)
	if !strings.HasPrefix(text, "31 101\r\n") {
		t.Errorf("%q", text)
	}
}

func interruptCharacter(t *testing.T, s *suite) {
	exit, text := session(t, s, `trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done`, nil,
		[2]string{"ready", "\x03"})
	if exit.Code != 7 || !strings.Contains(text, "caught") {
		t.Errorf("trapped: code %d, %q", exit.Code, text)
	}
	if exit, text = session(t, s, `echo ready; exec sleep 1000`, nil, [2]string{"ready", "\x03"}); exit.Code != 130 {
		t.Errorf("not trapped: code %d, %q", exit.Code, text)
	}
}

func endOfFileCharacter(t *testing.T, s *suite) {
	exit, text := session(t, s, `stty -echo; echo ready; cat; echo end`, nil,
		[2]string{"ready", "typed\n"}, [2]string{"typed", "\x04"})
	if exit.Code != 0 || text != "ready\r\ntyped\r\nend\r\n" {
		t.Errorf("code %d, %q", exit.Code, text)
	}
}

func controllingTerminal(t *testing.T, s *suite) {
	if exit, text := session(t, s, `echo through >/dev/tty`, nil); exit.Code != 0 || text != "through\r\n" {
		t.Errorf("code %d, %q", exit.Code, text)
	}
	if got := sh(t, s.bottle, ": >/dev/tty"); got.exit.Code == 0 {
		t.Error("a process without a terminal opened one")
	}
}

func fullScreenBytes(t *testing.T, s *suite) {
	const bytes = "\x1b[?1049h\x1b[2J\x1b[1;1Hünï\x1b[31mred\x1b[0m\x1b[?1049l"
	if _, text := session(t, s, `stty raw; printf '%s' '`+bytes+`'`, nil); text != bytes {
		t.Errorf("%q", text)
	}
}
