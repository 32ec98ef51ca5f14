package bottletest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/wire"
)

func execRows() []row {
	return []row{
		{"exit codes", exitCodes},
		{"programs that cannot run", cannotRun},
		{"ended by signals", endedBySignals},
		{"signals are passed on", signalsPassedOn},
		{"arguments", arguments},
		{"standard input", standardInput},
		{"input nobody reads", inputNobodyReads},
		{"large input and output", largeEcho},
		{"large output in order", largeOutput},
		{"standard output and error", outputAndError},
		{"environment", environment},
		{"directory", directory},
		{"identity", identity},
		{"several at once", severalAtOnce},
		{"background children", backgroundChildren},
		{"orphans are reaped", orphansAreReaped},
	}
}

func exitCodes(t *testing.T, s *suite) {
	for _, code := range []int{0, 1, 2, 3, 42, 100, 124, 125, 126, 127, 128, 129, 130, 137, 143, 200, 254, 255} {
		if got := sh(t, s.bottle, "exit $1", strconv.Itoa(code)); got.exit.Code != code {
			t.Errorf("exit %d: code %d", code, got.exit.Code)
		}
	}
}

func cannotRun(t *testing.T, s *suite) {
	prints(t, s.bottle, "", `printf '#!/nowhere\n' >"$HOME/bad" && chmod 755 "$HOME/bad" && : >"$HOME/plain" && chmod 644 "$HOME/plain"`)
	for _, test := range []struct {
		argv []string
		code int
	}{
		{[]string{"no-such-program-7"}, 127},
		{[]string{"/no/such/path"}, 127},
		{[]string{"/"}, 126},
		{[]string{bottle.DefaultHome + "/plain"}, 126},
	} {
		got := run(t, s.bottle, wire.Start{Argv: test.argv}, nil)
		if got.exit.Code != test.code || got.exit.Message == "" {
			t.Errorf("%q: %+v, want code %d and a message", test.argv, got.exit, test.code)
		}
	}
	prints(t, s.bottle, "still here\n", "echo still here")
}

func endedBySignals(t *testing.T, s *suite) {
	for name, code := range map[string]int{"TERM": 143, "KILL": 137, "SEGV": 139, "INT": 130, "HUP": 129} {
		if got := sh(t, s.bottle, "kill -"+name+" $$"); got.exit.Code != code {
			t.Errorf("SIG%s: code %d, want %d", name, got.exit.Code, code)
		}
	}
}

func signalsPassedOn(t *testing.T, s *suite) {
	for _, test := range []struct {
		signal os.Signal
		script string
		code   int
	}{
		{syscall.SIGTERM, `echo ready; exec sleep 1000`, 143},
		{syscall.SIGINT, `trap 'exit 7' INT; echo ready; while :; do sleep 0.05; done`, 7},
		{syscall.SIGUSR1, `trap 'exit 8' USR1; echo ready; while :; do sleep 0.05; done`, 8},
		{syscall.SIGHUP, `trap 'exit 9' HUP; echo ready; while :; do sleep 0.05; done`, 9},
	} {
		signals := make(chan os.Signal, 1)
		out := newWatcher(func(text string) {
			if text == "ready\n" {
				signals <- test.signal
			}
		})
		start := wire.Start{Argv: []string{"sh", "-c", test.script}}
		exit, err := s.bottle.Exec(bounded(t), start, wire.Streams{Stdout: out, Signals: signals})
		if err != nil || exit.Code != test.code {
			t.Errorf("%v: code %d, want %d (%v)", test.signal, exit.Code, test.code, err)
		}
	}
}

func arguments(t *testing.T, s *suite) {
	args := []string{"", " ", "a b", "*", "$HOME", "'\"\\", "new\nline", "\ttab", "ünï→", "\xff\xfe", "-n", strings.Repeat("x", 60_000)}
	got := run(t, s.bottle, wire.Start{Argv: append([]string{"printf", `%s\0`}, args...)}, nil)
	if want := strings.Join(args, "\x00") + "\x00"; got.stdout != want {
		t.Errorf("arguments came out as %.200q, want %.200q", got.stdout, want)
	}
}

func standardInput(t *testing.T, s *suite) {
	cat := wire.Start{Argv: []string{"cat"}}
	if got := run(t, s.bottle, cat, nil); got.exit.Code != 0 || got.stdout != "" {
		t.Errorf("no input: %+v", got)
	}
	if got := run(t, s.bottle, cat, strings.NewReader("")); got.exit.Code != 0 || got.stdout != "" {
		t.Errorf("empty input: %+v", got)
	}
	// One line at a time, each only after the one before came back.
	reader, writer := io.Pipe()
	lines, count := 20, 0
	out := newWatcher(func(text string) {
		if count = strings.Count(text, "\n"); count == lines {
			_ = writer.Close()
			return
		}
		if strings.HasSuffix(text, "\n") {
			go func() { _, _ = fmt.Fprintf(writer, "line %d\n", count+1) }()
		}
	})
	go func() { _, _ = io.WriteString(writer, "line 1\n") }()
	exit, err := s.bottle.Exec(bounded(t), cat, wire.Streams{Stdin: reader, Stdout: out})
	if err != nil || exit.Code != 0 || count != lines {
		t.Errorf("conversation: %d lines, %+v, %v", count, exit, err)
	}
}

// inputNobodyReads must neither hang nor fail: the program chose to ignore it.
func inputNobodyReads(t *testing.T, s *suite) {
	got := run(t, s.bottle, wire.Start{Argv: []string{"sh", "-c", "exec 0<&-; echo done"}}, io.LimitReader(zeros{}, 64<<20))
	if got.exit.Code != 0 || got.stdout != "done\n" {
		t.Errorf("%+v", got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func largeEcho(t *testing.T, s *suite) {
	const size = 16 << 20
	input := make([]byte, size) // every byte, in no order
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < size; i += 8 {
		n := random.Uint64()
		for j := range 8 {
			input[i+j] = byte(n >> (8 * j))
		}
	}
	digest := sha256.New()
	exit, err := s.bottle.Exec(bounded(t), wire.Start{Argv: []string{"cat"}},
		wire.Streams{Stdin: bytes.NewReader(input), Stdout: digest})
	if err != nil || exit.Code != 0 {
		t.Fatalf("%+v, %v", exit, err)
	}
	if want := sha256.Sum256(input); !bytes.Equal(digest.Sum(nil), want[:]) {
		t.Error("16 MiB came back changed")
	}
}

// counter checks that what is written to it counts lines from 1.
type counter struct {
	next int64
	rest []byte
	size int64
}

func (c *counter) Write(data []byte) (int, error) {
	c.size += int64(len(data))
	c.rest = append(c.rest, data...)
	for {
		line, rest, found := bytes.Cut(c.rest, []byte{'\n'})
		if !found {
			c.rest = append(c.rest[:0], line...)
			return len(data), nil
		}
		c.next++
		if string(line) != strconv.FormatInt(c.next, 10) {
			return 0, fmt.Errorf("%w: line %d is %.40q", errUnexpected, c.next, line)
		}
		c.rest = rest
	}
}

func largeOutput(t *testing.T, s *suite) {
	const lines = 7_000_000 // 54 MB
	var out counter
	exit, err := s.bottle.Exec(bounded(t), wire.Start{Argv: []string{"seq", strconv.Itoa(lines)}}, wire.Streams{Stdout: &out})
	if err != nil || exit.Code != 0 || out.next != lines {
		t.Errorf("%d lines, %d bytes, %+v, %v", out.next, out.size, exit, err)
	}
}

func outputAndError(t *testing.T, s *suite) {
	got := sh(t, s.bottle, "echo out; echo err >&2; printf 'no newline'")
	if got.stdout != "out\nno newline" || got.stderr != "err\n" {
		t.Errorf("%+v", got)
	}
	// Nobody wants it: it is dropped, and the program does not notice.
	exit, err := s.bottle.Exec(bounded(t), wire.Start{Argv: []string{"sh", "-c", "seq 100000; exit 3"}}, wire.Streams{})
	if err != nil || exit.Code != 3 {
		t.Errorf("dropped output: %+v, %v", exit, err)
	}
}

func environment(t *testing.T, s *suite) {
	prints(t, s.bottle, bottle.DefaultHome+"\n", `echo "$HOME"`)
	got := run(t, s.bottle, wire.Start{
		Argv: []string{"sh", "-c", `printf '%s|%s|%s' "$A" "$B" "${PATH:+path}"`},
		Env:  []string{"A=with space and =", "B=line\nline"},
	}, nil)
	if got.stdout != "with space and =|line\nline|path" {
		t.Errorf("environment: %q", got.stdout)
	}
	// What one process gets, the next does not.
	prints(t, s.bottle, "unset\n", `echo "${A-unset}"`)
}

func directory(t *testing.T, s *suite) {
	prints(t, s.bottle, bottle.Workspace+"\n", "pwd")
	got := run(t, s.bottle, wire.Start{Argv: []string{"pwd"}, Dir: "/usr"}, nil)
	if got.stdout != "/usr\n" {
		t.Errorf("directory /usr: %+v", got)
	}
	got = run(t, s.bottle, wire.Start{Argv: []string{"pwd"}, Dir: "/no/such/directory"}, nil)
	if got.exit.Code == 0 || got.exit.Message == "" || got.stdout != "" {
		t.Errorf("directory that is missing: %+v", got)
	}
}

func identity(t *testing.T, s *suite) {
	spec := s.spec()
	prints(t, s.bottle, fmt.Sprintf("%d:%d\n", spec.UID, spec.GID), `echo "$(id -u):$(id -g)"`)
	if spec.UID == 0 || spec.GID == 0 {
		t.Error("the agent is root")
	}
}

func severalAtOnce(t *testing.T, s *suite) {
	var group errgroup.Group
	ctx := bounded(t)
	for i := range 12 {
		group.Go(func() error {
			var out bytes.Buffer
			input := strings.Repeat(fmt.Sprintf("this is %d\n", i), 20_000)
			exit, err := s.bottle.Exec(ctx, wire.Start{Argv: []string{"sh", "-c", fmt.Sprintf("cat; exit %d", i)}},
				wire.Streams{Stdin: strings.NewReader(input), Stdout: &out})
			if err != nil || exit.Code != i || out.String() != input {
				return fmt.Errorf("process %d: %+v, %d bytes of %d, %w", i, exit, out.Len(), len(input), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// backgroundChildren go on when what started them has ended, and keep nobody
// waiting, also when they hold its output open.
func backgroundChildren(t *testing.T, s *suite) {
	begin := time.Now()
	got := sh(t, s.bottle, "sleep 20.071 & echo $!; exit 5")
	if got.exit.Code != 5 || time.Since(begin) > 15*time.Second {
		t.Errorf("%+v after %v", got, time.Since(begin))
	}
	prints(t, s.bottle, "alive\n", "kill -0 "+strings.TrimSpace(got.stdout)+" && echo alive")
	prints(t, s.bottle, "", "kill -9 "+strings.TrimSpace(got.stdout))
}

func orphansAreReaped(t *testing.T, s *suite) {
	prints(t, s.bottle, "", "for i in 1 2 3 4 5 6 7 8; do (sh -c 'sleep 0.01 &' &); done")
	eventually(t, "no zombie is left", func() bool {
		return sh(t, s.bottle, "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null").stdout == ""
	})
}

// watcher calls seen with everything that was written so far, at each write.
type watcher struct {
	text strings.Builder
	seen func(text string)
}

func newWatcher(seen func(text string)) *watcher { return &watcher{seen: seen} }

func (w *watcher) Write(data []byte) (int, error) {
	w.text.Write(data)
	w.seen(w.text.String())
	return len(data), nil
}
