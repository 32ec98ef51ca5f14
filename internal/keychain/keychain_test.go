package keychain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"go.uber.org/goleak"
)

// The client of the message bus keeps its connection.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/godbus/dbus/v5.(*Conn).inWorker"))
}

const secret = "s3cr3t-of-the-test"

// What a program says when it fails is shown, but never what may be the secret.
func TestFailedCommandTellsNothing(t *testing.T) {
	const secret = "s3cr3t-of-somebody"
	token := "xoxb-1234567890-1234567890-" + "AbCdEfGhIjKlMnOpQrStUvWx"
	for _, script := range []string{
		"echo " + secret + "; echo cannot copy " + secret + " to the clipboard >&2; exit 1",
		"echo " + secret + "; printf " + secret + " | base64 >&2; exit 1",
		"echo bad token " + token + " >&2; exit 1",
	} {
		_, err := Command(t.Context(), "/", []string{"sh", "-c", script})
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "not shown") {
			t.Errorf("%v", err)
		}
	}
	_, err := Command(t.Context(), "/", []string{"sh", "-c", `printf '\377\033]52;c;x\007%0300d' 0 >&2; exit 1`})
	if err == nil || !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\x1b\a") || len(err.Error()) > 300 {
		t.Errorf("%q", err)
	}
}

func TestCommand(t *testing.T) {
	for script, want := range map[string]string{
		"printf " + secret:                         secret,
		"echo " + secret:                           secret,
		`printf 'a b\r\n'`:                         "a b",
		`printf 'two\nlines\n'`:                    "two\nlines",
		"echo noise >&2; read x; echo " + secret:   secret,
		"head -c 65536 /dev/zero | tr '\\0' x":     strings.Repeat("x", 65536),
		"yes x | head -c 1000000 >&2; echo " + "y": "y",
	} {
		got, err := Command(t.Context(), "/", []string{"sh", "-c", script})
		if err != nil || got != want {
			t.Errorf("%s: %d bytes, %v", script, len(got), err)
		}
	}
}

func TestCommandFails(t *testing.T) {
	for script, want := range map[string]string{
		"echo " + secret + "; exit 3":             "exit status 3",
		"echo locked >&2; exit 1":                 "locked",
		`printf 'x\033]0;title\007y' >&2; exit 1`: "x]0;titley",
		"true":                                 "empty",
		"head -c 70000 /dev/zero | tr '\\0' x": "larger",
		`printf 'a\000b'`:                      "NUL",
		"head -c 5000 /dev/zero|tr '\\0' x >&2;exit 1": "...",
	} {
		got, err := Command(t.Context(), "/", []string{"sh", "-c", script})
		if err == nil || got != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", script, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || len(err.Error()) > 400) {
			t.Errorf("%s: %v", script, err)
		}
	}
	for _, argv := range [][]string{nil, {""}, {"no-such-program-here"}} {
		if _, err := Command(t.Context(), "/", argv); err == nil {
			t.Errorf("%q was run", argv)
		}
	}
}

// A program that hangs is ended with all that it started: the pipe that all
// of them hold open ends.
func TestCommandEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Command(ctx, "/", []string{"sh", "-c", "exec 3>" + path + "; sleep 600 & echo ready >&3; wait"})
		ended <- err
	}()
	pipe, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := pipe.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := io.Copy(io.Discard, pipe); err != nil {
		t.Error(err)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claude-bottle", "secrets.json")
	f := OpenFile(path)
	if _, err := f.Get("a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	for _, value := range []string{"first", secret} {
		if err := f.Set("a", value); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := OpenFile(path).Get("a"); err != nil || got != secret {
		t.Errorf("%q, %v", got, err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700 | os.ModeDir, path + ".lock": 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := f.Delete("a"); err != nil {
		t.Error(err)
	}
	if err := f.Delete("a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), secret) {
		t.Errorf("%q, %v", text, err)
	}
}

func TestFileOfManyWriters(t *testing.T) {
	f := OpenFile(filepath.Join(t.TempDir(), "secrets.json"))
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			if err := f.Set(fmt.Sprint("n", i), secret); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 10 {
		if _, err := f.Get(fmt.Sprint("n", i)); err != nil {
			t.Error(err)
		}
	}
}

func TestFileRefuses(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"open to the group": func(path string) error { return os.Chmod(path, 0o640) },
		"open to all":       func(path string) error { return os.Chmod(path, 0o604) },
		"a link": func(path string) error {
			return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
		},
		"a directory": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"no JSON":     func(path string) error { return os.WriteFile(path, []byte("{"+secret), 0o600) },
		"too large":   func(path string) error { return os.Truncate(path, maxFile+1) },
	} {
		path := filepath.Join(t.TempDir(), "secrets.json")
		f := OpenFile(path)
		if err := f.Set("a", secret); err != nil {
			t.Fatal(err)
		}
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Get("a"); err == nil || got != "" || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err := f.Set("b", "other"); err == nil {
			t.Errorf("%s: written to", name)
		}
	}
}

// What a program says is read into one piece of memory, which is overwritten.
func TestSaidIsOverwritten(t *testing.T) {
	b := newBounded(len(secret) + 4)
	memory := b.text[:cap(b.text)]
	n, err := io.Copy(b, iotest.OneByteReader(strings.NewReader(secret+strings.Repeat("more", 5000))))
	if err != nil || n != int64(len(secret)+20000) || string(b.text) != secret+"more" {
		t.Errorf("%d bytes, %v, %q", n, err, b.text)
	}
	if b.wipe(); len(bytes.Trim(memory, "\x00")) > 0 {
		t.Errorf("it holds %q", memory)
	}
}
