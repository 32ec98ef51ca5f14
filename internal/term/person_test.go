package term

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// person sits at a real terminal, of which the test has the other side.
type person struct {
	keys     *os.File // what is written here is typed
	terminal *os.File
	in       *Input

	mu   sync.Mutex
	seen bytes.Buffer
	more chan struct{}
}

func atTerminal(t *testing.T) *person {
	t.Helper()
	keys, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := &person{keys: keys, terminal: terminal, in: NewInput(terminal), more: make(chan struct{}, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := keys.Read(buf)
			if err != nil {
				return
			}
			p.mu.Lock()
			p.seen.Write(buf[:n])
			p.mu.Unlock()
			select {
			case p.more <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		p.in.Close()
		_ = terminal.Close() // ends the Read of the other side
		<-read
		_ = keys.Close()
	})
	return p
}

// types waits until text is on the screen, then types.
func (p *person) types(t *testing.T, text, keys string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !strings.Contains(p.screen(), text) {
		select {
		case <-p.more:
		case <-deadline:
			t.Errorf("%q is not on the screen: %q", text, p.screen())
			return
		}
	}
	if _, err := io.WriteString(p.keys, keys); err != nil {
		t.Error(err)
	}
}

func (p *person) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

func settings(t *testing.T, terminal *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(terminal.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func none(string) string { return "" }

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{
		"y\n": true, "YES\n": true, " yes \r\n": true, "y": true,
		"": false, "\n": false, "n\n": false, "yep\n": false, "ja\n": false, "y y\n": false,
		strings.Repeat(" ", maxLine) + "y\n": false,
	} {
		var out bytes.Buffer
		p := Prompt{NewInput(strings.NewReader(answer)), &out}
		got, err := p.Confirm(t.Context(), "launch?")
		if err != nil || got != want {
			t.Errorf("%.20q: %v %v", answer, got, err)
		}
		if !strings.HasPrefix(out.String(), "launch? [y/N] ") {
			t.Errorf("asked %q", out.String())
		}
	}
}

// TestTypedAheadIsForgotten: a line that was typed before a question is no answer
// to it, and one that was typed before somebody could read what explains it.
func TestTypedAheadIsForgotten(t *testing.T) {
	person := atTerminal(t)
	person.types(t, "", "y\n")
	person.types(t, "y", "") // it is there to be read
	p := Prompt{person.in, person.terminal}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		person.types(t, "trust it? [y/N] ", "n\n")
	}()
	if ok, err := p.Confirm(t.Context(), "trust it?"); ok || err != nil {
		t.Errorf("the question has the answer %v, %v", ok, err)
	}
	<-answered
	person.types(t, "", "save all of them\n")
	person.types(t, "save all of them", "")
	if err := p.Settle(t.Context()); err != nil {
		t.Error(err)
	}
	person.types(t, "", "none\n")
	if line, err := p.Line(t.Context()); line != "none" || err != nil {
		t.Errorf("the answer is %q, %v", line, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Settle(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves waits for nothing: %v", err)
	}
}

func TestAnswersTakeNoMoreThanTheirLine(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	_, _ = io.WriteString(write, "y\nfor the harness\n")
	_ = write.Close()
	in := NewInput(read)
	defer in.Close()
	p := Prompt{in, io.Discard}
	if ok, err := p.Confirm(t.Context(), "?"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	rest, err := io.ReadAll(in)
	if err != nil || string(rest) != "for the harness\n" {
		t.Errorf("%q %v", rest, err)
	}
}

func TestInputIsGivenUpWithoutLoss(t *testing.T) {
	p := atTerminal(t)
	pipeRead, pipeWrite := io.Pipe()
	other := NewInput(pipeRead)
	for name, source := range map[string]struct {
		in    *Input
		write func(string)
	}{
		"terminal": {p.in, func(s string) { _, _ = io.WriteString(p.keys, s) }},
		"reader":   {other, func(s string) { go func() { _, _ = io.WriteString(pipeWrite, s) }() }},
	} {
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			stopped := context.AfterFunc(ctx, func() {})
			go cancel()
			if n, err := source.in.ReadContext(ctx, make([]byte, 9)); n != 0 || !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %d %v", name, n, err)
			}
			stopped()
		}
		source.write("kept\n")
		buf := make([]byte, 9)
		if n, err := source.in.ReadContext(t.Context(), buf); err != nil || string(buf[:n]) != "kept\n" {
			t.Errorf("%s: %q %v", name, buf[:n], err)
		}
	}
	_ = pipeWrite.Close()
}

func TestSecretIsNotShownAndSettingsComeBack(t *testing.T) {
	for _, test := range []struct {
		name, keys, want string
		err              error
	}{
		{"plain", "tok\xc3\xa9n\r", "tokén", nil},
		{"edited", "wrong\x15tokü\x7f\x7fken\n", "token", nil},
		{"interrupted", "half\x03", "", ErrInterrupted},
		{"ended", "\x04", "", io.EOF},
		{"too long", strings.Repeat("x", maxLine+1), "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := atTerminal(t)
			before := settings(t, p.terminal)
			go p.types(t, "token \\x1b]: ", test.keys)
			got, err := (&Prompt{p.in, p.terminal}).Secret(t.Context(), "token \x1b]")
			if got != test.want || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("%q %v", got, err)
			}
			if test.name == "too long" && err == nil {
				t.Error("taken")
			}
			if settings(t, p.terminal) != before {
				t.Error("the terminal's settings did not come back")
			}
			if screen := p.screen(); strings.Contains(screen, "tok\xc3") || strings.Contains(screen, "half") || strings.Contains(screen, "wrong") {
				t.Errorf("on the screen: %q", screen)
			}
		})
	}
}

func TestSecretEndsWithItsContext(t *testing.T) {
	p := atTerminal(t)
	before := settings(t, p.terminal)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		p.types(t, "token: ", "half")
		cancel()
	}()
	if _, err := (&Prompt{p.in, p.terminal}).Secret(ctx, "token"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if settings(t, p.terminal) != before {
		t.Error("the terminal's settings did not come back")
	}
	if _, err := (&Prompt{NewInput(strings.NewReader("x\n")), io.Discard}).Secret(t.Context(), "token"); !errors.Is(err, ErrNoTerminal) {
		t.Errorf("without a terminal: %v", err)
	}
}

func TestRawComesBack(t *testing.T) {
	p := atTerminal(t)
	before := settings(t, p.terminal)
	func() {
		defer func() { _ = recover() }()
		mode, err := Raw(p.in)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = mode.Restore() }()
		if raw := settings(t, p.terminal); raw.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG) != 0 {
			t.Error("not raw")
		}
		panic("defect")
	}()
	if settings(t, p.terminal) != before {
		t.Error("the terminal's settings did not come back")
	}
	mode, err := Raw(strings.NewReader(""))
	if err != nil || mode.Restore() != nil {
		t.Errorf("no terminal: %v", err)
	}
}

func TestSizesAreTold(t *testing.T) {
	p := atTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sizes := Sizes(ctx, p.terminal)
	want := wire.Size{Rows: 11, Cols: 77}
	if err := pty.Setsize(p.keys, &pty.Winsize{Rows: want.Rows, Cols: want.Cols}); err != nil {
		t.Fatal(err)
	}
	// The terminal is not this process's own, so the kernel tells nobody.
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-sizes:
		if got != want || SizeOf(p.terminal) != want {
			t.Errorf("%v, want %v", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Error("not told")
	}
	if SizeOf(strings.NewReader("")) != (wire.Size{}) {
		t.Error("a reader has a size")
	}
}

func TestColourIsForTerminals(t *testing.T) {
	p := atTerminal(t)
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	if got := StyleOf(p.terminal, none).Red("x"); got != "\x1b[31mx\x1b[m" {
		t.Errorf("on a terminal: %q", got)
	}
	for name, style := range map[string]Style{
		"file":     StyleOf(&bytes.Buffer{}, none),
		"NO_COLOR": StyleOf(p.terminal, env("NO_COLOR", "1")),
		"dumb":     StyleOf(p.terminal, env("TERM", "dumb")),
		"zero":     {},
	} {
		if got := style.Bold("x"); got != "x" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !(Streams{In: p.in, Err: p.terminal}).Interactive() || (Streams{In: p.in, Err: io.Discard}).Interactive() {
		t.Error("who can be asked is wrong")
	}
}

func TestTableIsAlignedAndEscaped(t *testing.T) {
	table := NewTable("RUN", "AGENT", "STATE")
	table.Row("a", "你好", "up")
	table.Row("long-one", "x\x1b[2J\u202e", "")
	table.Row("é", "three", "down\n")
	var out bytes.Buffer
	if err := table.Print(&out, Style{}); err != nil {
		t.Fatal(err)
	}
	want := `RUN       AGENT           STATE
a         你好            up
long-one  x\x1b[2J\u202e
é         three           down\n
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	var quiet bytes.Buffer
	p := NewProgress(&quiet, none)
	p.Show("building")
	p.Line("built")
	p.Done()
	if quiet.Len() != 0 {
		t.Errorf("printed %q", quiet.String())
	}
	person := atTerminal(t)
	if err := pty.Setsize(person.keys, &pty.Winsize{Rows: 5, Cols: 12}); err != nil {
		t.Fatal(err)
	}
	p = NewProgress(person.terminal, none)
	p.Show("building\x1b[2J the image")
	person.types(t, `/ building\`, "") // the second picture
	p.Line("made")
	p.Show("next")
	p.Done()
	p.Done()
	person.types(t, "made\r\n", "")
	person.types(t, "next\r\x1b[K", "")
	if screen := person.screen(); strings.Contains(screen, "image") || strings.Contains(screen, "\x1b[2J") {
		t.Errorf("%q", screen)
	}
}
