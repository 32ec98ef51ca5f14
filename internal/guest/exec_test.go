//go:build linux

package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"claude-bottle/internal/wire"
)

// result is one process and what it printed.
type result struct {
	exit           wire.Exit
	stdout, stderr string
}

func run(t *testing.T, client *wire.GuestClient, start wire.Start, stdin string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	exit, err := client.Exec(deadline(t), start, wire.Streams{
		Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
	})
	if err != nil {
		t.Fatalf("Exec(%q): %v", start.Argv, err)
	}
	return result{exit, stdout.String(), stderr.String()}
}

func shell(t *testing.T, client *wire.GuestClient, script string) result {
	t.Helper()
	return run(t, client, sh(script), "")
}

func sh(script string) wire.Start {
	return wire.Start{Argv: []string{"sh", "-c", script}}
}

func TestExecCarriesStreamsAndCode(t *testing.T) {
	t.Parallel()
	b := launch(t)
	got := run(t, b.GuestClient, sh("cat; echo err >&2; exit 7"), "in")
	if want := (result{wire.Exit{Code: 7}, "in", "err\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestExitCodesAreThoseOfDockerExec(t *testing.T) {
	t.Parallel()
	b := launch(t)
	dir := filepath.Dir(b.nonce)
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "#!/bin/sh\n", 0o644)
	noHead := write("nohead", "\x00\x01", 0o755)
	lost := write("lost", "#!/nowhere/sh\n", 0o755)
	for _, test := range []struct {
		start   wire.Start
		code    int
		message string
	}{
		{wire.Start{Argv: []string{"true"}}, 0, ""},
		{sh("exit 255"), 255, ""},
		{sh("kill -KILL $$"), 137, ""},
		{sh("kill -TERM $$"), 143, ""},
		{wire.Start{Argv: []string{"no-such-program"}}, 127, "run no-such-program: not found in PATH"},
		{wire.Start{Argv: []string{"/no/such/program"}}, 127, "run /no/such/program: no such file or directory"},
		{wire.Start{Argv: []string{lost}}, 127, "run " + lost + ": no such file or directory"},
		{wire.Start{Argv: []string{plain}}, 126, "run " + plain + ": permission denied"},
		{wire.Start{Argv: []string{"/"}}, 126, "run /: is a directory"},
		{wire.Start{Argv: []string{noHead}}, 126, "run " + noHead + ": exec format error"},
		{wire.Start{Argv: []string{plain + "/below"}}, 127, "run " + plain + "/below: file does not exist"},
		{wire.Start{Argv: []string{"plain"}, Env: []string{"PATH=" + dir}}, 126, "run plain: permission denied"},
		{wire.Start{Argv: []string{"true"}, Dir: "/no/dir"}, 126, "change to directory /no/dir: no such file or directory"},
		{wire.Start{Argv: []string{"true"}, Dir: plain}, 126, "change to directory " + plain + ": not a directory"},
		{wire.Start{Argv: []string{"true"}, Env: []string{"broken"}}, 126, "set the environment: an entry is no NAME=value, or holds a zero byte"},
		{wire.Start{Argv: []string{"true", "a\x00b"}}, 126, "run: an argument holds a zero byte"},
		{wire.Start{}, 127, "run: no program named"},
	} {
		got := run(t, b.GuestClient, test.start, "")
		if want := (wire.Exit{Code: test.code, Message: test.message}); got.exit != want {
			t.Errorf("%q: %+v, want %+v", test.start.Argv, got.exit, want)
		}
	}
}

func TestProcessGetsItsEnvironmentAndDirectory(t *testing.T) {
	t.Parallel()
	b := launch(t)
	dir := filepath.Dir(b.nonce)
	tool := filepath.Join(dir, "tool")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\necho $KEPT $HOME $NEW; pwd; umask; ulimit -c\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	start := wire.Start{Argv: []string{"tool"}, Env: []string{"NEW=x", "KEPT=changed", "PATH=" + dir + ":/bin"}, Dir: dir}
	got := run(t, b.GuestClient, start, "")
	if want := "changed /tmp x\n" + dir + "\n0022\n0\n"; got.stdout != want {
		t.Errorf("printed %q, want %q", got.stdout, want)
	}
	start = wire.Start{Argv: []string{"./tool"}, Dir: dir}
	if got := run(t, b.GuestClient, start, ""); got.exit.Code != 0 {
		t.Errorf("a path below the directory: %+v", got)
	}
}

func TestManyProcessesOneAfterTheOther(t *testing.T) {
	t.Parallel()
	b := launch(t)
	for i := range 200 {
		got := run(t, b.GuestClient, sh(fmt.Sprintf("cat; exit %d", i)), fmt.Sprint(i))
		if got.exit.Code != i || got.stdout != fmt.Sprint(i) {
			t.Fatalf("process %d: %+v", i, got)
		}
	}
}

func TestWhatIsLeftBehindHoldsNothingUp(t *testing.T) {
	t.Parallel()
	b := launch(t)
	for _, script := range []string{"sleep 60 & echo said", "yes & echo said", "trap '' HUP; sleep 60 <&0 & echo said"} {
		begin := time.Now()
		var stdout bytes.Buffer
		exit, err := b.Exec(deadline(t), sh(script), wire.Streams{Stdout: &stdout})
		if err != nil || exit.Code != 0 || !strings.Contains(stdout.String(), "said\n") {
			t.Errorf("%s: %+v %v", script, exit, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s took %v", script, took)
		}
	}
	got := shell(t, b.GuestClient, "ps -e -o args= | grep -c '[s]leep 60'; ps -e -o args= | grep -c '^[y]es$'")
	if got.stdout != "2\n1\n" {
		t.Errorf("left running: %q, want the two sleeps and yes", got.stdout)
	}
}

// slow takes output only once it is let.
type slow struct {
	let <-chan time.Time
	n   atomic.Int64
}

func (s *slow) Write(p []byte) (int, error) {
	<-s.let
	s.n.Add(int64(len(p)))
	return len(p), nil
}

func TestAllThatWasPrintedBeforeTheEndArrives(t *testing.T) {
	t.Parallel()
	b := launch(t)
	const printed = 900_000 // more than pipes and sockets on the way hold for the process to end
	let := make(chan time.Time)
	out := &slow{let: let}
	go func() {
		<-time.After(4 * linger) // long after the process's end
		close(let)
	}()
	// The part that is in the pipe at the end, with somebody else holding it.
	exit, err := b.Exec(deadline(t), sh(fmt.Sprintf("head -c %d /dev/zero; sleep 60 &", printed)), wire.Streams{Stdout: out})
	if err != nil || exit.Code != 0 || out.n.Load() != printed {
		t.Errorf("%d bytes of %d, %+v %v", out.n.Load(), printed, exit, err)
	}
}

// endless is as many bytes as asked for, and counts them. A read may still be
// under way when the process has ended.
type endless struct {
	left int64
	read atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	e.left -= n
	e.read.Add(n)
	return int(n), nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// It is not parallel: what other tests take would count as the launcher's.
func TestLargeInputAndOutputInLittleMemory(t *testing.T) {
	b := launch(t)
	const size = 150 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	in, out := &endless{left: size}, &counter{}
	exit, err := b.Exec(deadline(t), wire.Start{Argv: []string{"cat"}}, wire.Streams{Stdin: in, Stdout: out})
	if err != nil || exit.Code != 0 || out.n != size {
		t.Fatalf("%d bytes back of %d, %+v %v", out.n, size, exit, err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.Sys) - int64(before.Sys); grown > size/2 {
		t.Errorf("the launcher grew by %d MiB", grown>>20)
	}
	peak := shell(t, b.GuestClient, "grep VmHWM /proc/1/status")
	var kib int
	if _, err := fmt.Sscanf(peak.stdout, "VmHWM: %d kB", &kib); err != nil || kib > 200<<10 {
		t.Errorf("the guest's peak: %q (with the race detector's own)", peak.stdout)
	}
}

func TestInputThatNobodyReadsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	b := launch(t)
	in := &endless{left: 1 << 30}
	signals := make(chan os.Signal, 1)
	out := onWrite(func() { signals <- syscall.SIGTERM })
	exit, err := b.Exec(deadline(t), sh("echo up; exec sleep 60"), wire.Streams{Stdin: in, Stdout: out, Signals: signals})
	if err != nil || exit.Code != 143 {
		t.Errorf("%+v %v", exit, err)
	}
	if in.read.Load() > 2*wire.InputWindow {
		t.Errorf("read %d bytes ahead of a process that takes none", in.read.Load())
	}
	// What was not taken does not reach the next process.
	if got := run(t, b.GuestClient, wire.Start{Argv: []string{"cat"}}, "mine"); got.stdout != "mine" {
		t.Errorf("the next process read %d bytes", len(got.stdout))
	}
}

// onWrite calls itself at the first output.
func onWrite(f func()) io.Writer {
	var once atomic.Bool
	return writerFunc(func(p []byte) (int, error) {
		if once.CompareAndSwap(false, true) {
			f()
		}
		return len(p), nil
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestProcessThatClosesItsInputIsNotFed(t *testing.T) {
	t.Parallel()
	b := launch(t)
	in := &endless{left: 1 << 30}
	exit, err := b.Exec(deadline(t), sh("exec <&-; sleep 0.2; exit 3"), wire.Streams{Stdin: in})
	if err != nil || exit.Code != 3 || in.read.Load() > 2*wire.InputWindow {
		t.Errorf("%+v %v, %d bytes read", exit, err, in.read.Load())
	}
}

func TestProcessLearnsThatNobodyReadsItsOutput(t *testing.T) {
	t.Parallel()
	b := launch(t)
	full := errors.New("disk full")
	out := writerFunc(func([]byte) (int, error) { return 0, full })
	exit, err := b.Exec(deadline(t), wire.Start{Argv: []string{"yes"}}, wire.Streams{Stdout: out})
	if !errors.Is(err, full) || exit.Code != 128+int(syscall.SIGPIPE) {
		t.Errorf("%+v %v", exit, err)
	}
	if got := shell(t, b.GuestClient, "echo on"); got.stdout != "on\n" {
		t.Errorf("the stream afterwards: %+v", got)
	}
}

func TestInputThatBlocksIsForTheNextProcess(t *testing.T) {
	t.Parallel()
	b := launch(t)
	read, write := io.Pipe()
	defer write.Close()
	streams := wire.Streams{Stdin: read}
	if exit, err := b.Exec(deadline(t), wire.Start{Argv: []string{"true"}}, streams); err != nil || exit.Code != 0 {
		t.Fatalf("%+v %v", exit, err)
	}
	go func() {
		_, _ = io.WriteString(write, "for the second\n")
		_ = write.Close()
	}()
	var out bytes.Buffer
	streams.Stdout = &out
	if _, err := b.Exec(deadline(t), wire.Start{Argv: []string{"cat"}}, streams); err != nil || out.String() != "for the second\n" {
		t.Errorf("read %q, %v", out.String(), err)
	}
}

func TestContextEndsTheProcess(t *testing.T) {
	t.Parallel()
	b := launch(t)
	client := b.dial(t, 0)
	ctx, cancel := context.WithCancel(deadline(t))
	_, err := client.Exec(ctx, sh("echo up; exec sleep 77"), wire.Streams{Stdout: onWrite(cancel)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Exec: %v", err)
	}
	gone(t, b.GuestClient, "sleep 77")
}

// gone waits until no process of the bottle has the command line args, which
// hold no single quote.
func gone(t *testing.T, client *wire.GuestClient, args string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if got := shell(t, client, "ps -e -o args= | grep -cxF '"+args+"'"); got.stdout == "0\n" {
			return
		}
	}
	t.Errorf("%q still runs after 10 s", args)
}
