package audit

import (
	"bytes"
	"context"
	"encoding/json"
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
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"claude-bottle/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string, limit int64) *Writer {
	t.Helper()
	w, err := OpenWriter(path, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func read(t *testing.T, path string) (events []Event, bad int) {
	t.Helper()
	bad, err := Read(path, func(e Event) error { events = append(events, e); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return events, bad
}

func denial(host string) Event {
	return Event{Kind: policy.Connect, Host: host, Port: 443, Decision: Denied, Rule: "default", Reason: "not on the allowlist"}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	w := open(t, path, 0)
	want := Event{
		Time: time.Date(2031, 2, 3, 4, 5, 6, 7, time.UTC), Run: "r", ID: 3, Phase: Close, Kind: policy.HTTP, Host: "a.example", Port: 80,
		Method: "GET", Path: "/a<b>&ü", Decision: Allowed, Rule: "allow a.example (bottle work)", Reason: "it is", Address: "93.184.216.34",
		Sent: 1, Received: 2, Duration: 0.5,
	}
	if err := w.Append(want); err != nil {
		t.Fatal(err)
	}
	events, bad := read(t, path)
	if len(events) != 1 || events[0] != want || bad != 0 {
		t.Errorf("got %+v, %d bad", events, bad)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// Lines of many writers are whole and each writer's are in order.
func TestConcurrentAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	w := open(t, path, 0)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				e := denial(fmt.Sprintf("%d.example", g))
				e.ID = uint64(i)
				if err := w.Append(e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	next := map[string]uint64{}
	events, bad := read(t, path)
	for _, e := range events {
		if e.ID != next[e.Host] {
			t.Fatalf("%s: %d after %d", e.Host, e.ID, next[e.Host])
		}
		next[e.Host]++
	}
	if len(events) != 1600 || bad != 0 {
		t.Errorf("%d events, %d bad", len(events), bad)
	}
}

// Whatever a bottle puts into an event, the record has one bounded line of
// printable text for it.
func TestHostileStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.Map(rapid.StringMatching(`[\x00-\x1fa]{1,50}`), func(s string) string { return strings.Repeat(s, 200) }))
		e := Event{
			Host: text.Draw(t, "host"), Method: text.Draw(t, "method"), Path: text.Draw(t, "path"), Reason: text.Draw(t, "reason"),
			Rule: text.Draw(t, "rule"), Run: text.Draw(t, "run"), Address: text.Draw(t, "address"), Kind: policy.Kind(text.Draw(t, "kind")),
		}
		line, err := e.line()
		if err != nil {
			t.Fatal(err)
		}
		if len(line) > MaxLine || bytes.IndexByte(line, '\n') != len(line)-1 || !utf8.Valid(line) {
			t.Fatalf("%d bytes: %q", len(line), line)
		}
		if i := bytes.IndexFunc(line[:len(line)-1], unicode.IsControl); i >= 0 {
			t.Fatalf("a control at %d: %q", i, line)
		}
		var back Event
		if err := json.Unmarshal(line, &back); err != nil || len(back.Path) > maxPath || len(back.Host) > maxHost {
			t.Fatalf("%v: %d %d", err, len(back.Path), len(back.Host))
		}
		if again := back.bounded(); again != back {
			t.Fatalf("bounding twice: %+v, then %+v", back, again)
		}
	})
}

func TestTornLineIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	w := open(t, path, 0)
	if err := w.Append(denial("one.example")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	whole, _ := os.ReadFile(path)
	if err := os.WriteFile(path, append(whole, whole[:20]...), 0o600); err != nil { // a crash
		t.Fatal(err)
	}
	w = open(t, path, 0)
	if err := w.Append(denial("two.example")); err != nil {
		t.Fatal(err)
	}
	events, bad := read(t, path)
	if len(events) != 2 || events[1].Host != "two.example" || bad != 1 {
		t.Errorf("%+v, %d bad", events, bad)
	}
}

func TestLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	w := open(t, path, 1000)
	var err error
	for range 20 {
		if err = w.Append(denial("a.example")); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if info, _ := os.Stat(path); info.Size() > 1000 || info.Size() < 500 {
		t.Errorf("%d bytes", info.Size())
	}
}

func TestAppendAfterClose(t *testing.T) {
	w := open(t, filepath.Join(t.TempDir(), "record"), 0)
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	if err := w.Append(denial("a.example")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestReaderOfHostileContent(t *testing.T) {
	good := `{"kind":"dns","host":"good.example","decision":"deny","rule":"default","reason":"r"}` + "\n"
	for name, tt := range map[string]struct {
		content string
		events  int
		bad     int
	}{
		"empty":             {"", 0, 0},
		"blank lines":       {"\n\n" + good + "\n", 1, 0},
		"torn":              {good + good[:30], 1, 0},
		"not JSON":          {"garbage\n" + good, 1, 1},
		"another shape":     {`[1,2]` + "\n" + `{"host": 5}` + "\n" + good, 1, 2},
		"endless line":      {strings.Repeat("x", 1<<20) + "\n" + good, 1, 1},
		"endless torn line": {good + strings.Repeat("x", 1<<20), 1, 0},
		"NULs":              {strings.Repeat("\x00", 100) + "\n" + good, 1, 1},
		"CRLF":              {strings.ReplaceAll(good, "\n", "\r\n"), 1, 0},
		"deep":              {strings.Repeat("[", 20000) + "\n" + good, 1, 1},
		"controls":          {`{"host":"\u001b]52;c;x\u0007\u202e"}` + "\n", 1, 0},
	} {
		for _, slow := range []bool{false, true} {
			src := io.Reader(strings.NewReader(tt.content))
			if slow {
				src = iotest.OneByteReader(src)
			}
			r := NewReader(src)
			n := 0
			for {
				e, err := r.Next()
				if err != nil {
					break
				}
				n++
				if strings.ContainsFunc(e.Host, func(r rune) bool { return !unicode.IsGraphic(r) || r == '\u202e' }) {
					t.Errorf("%s: %q", name, e.Host)
				}
			}
			if n != tt.events || r.Bad != tt.bad {
				t.Errorf("%s: %d events and %d bad, want %d and %d", name, n, r.Bad, tt.events, tt.bad)
			}
		}
	}
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan string)
	done := make(chan error, 1)
	go func() {
		done <- Follow(ctx, path, func(e Event) error { seen <- e.Host; return nil })
	}()
	f, err := os.Create(path) // after Follow began
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 3 {
		e := denial(fmt.Sprintf("%d.example", i))
		line, _ := e.line()
		_, _ = f.Write(line[:len(line)/2]) // in two halves, as a reader may find it
		_, _ = f.Write(line[len(line)/2:])
		if got := <-seen; got != e.Host {
			t.Errorf("%s, want %s", got, e.Host)
		}
	}
	last := denial("last.example") // written just before the end
	line, _ := last.line()
	_, _ = f.Write(line)
	cancel()
	select {
	case got := <-seen:
		if got != last.Host {
			t.Errorf("%s, want %s", got, last.Host)
		}
	case err := <-done:
		t.Fatalf("ended without the last line: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReadOfNothing(t *testing.T) {
	if events, bad := read(t, filepath.Join(t.TempDir(), "none")); len(events) != 0 || bad != 0 {
		t.Error(events, bad)
	}
}

func TestSummary(t *testing.T) {
	var s Summarizer
	tunnel := Event{Kind: policy.Connect, Host: "a.example", Decision: Allowed, ID: 1}
	opened, closed := tunnel, tunnel
	opened.Phase, closed.Phase = Open, Close
	closed.Sent, closed.Received = 10, 20
	dns := Event{Kind: policy.DNS, Host: "a.example", Decision: Allowed, Repeats: 2}
	failed := closed
	failed.Decision = Failed
	for _, e := range []Event{opened, closed, opened, failed, dns, denial("b.example"), denial("b.example"), {Kind: policy.DNS, Host: "b.example", Decision: Denied}} {
		s.Add(e)
	}
	rows := s.Rows()
	a := Summary{Host: "a.example", Requests: 2, Lookups: 3, Failed: 1, Sent: 20, Received: 40}
	b := Summary{Host: "b.example", Requests: 2, Lookups: 1, Denied: 3}
	if len(rows) != 2 || rows[0] != a {
		t.Errorf("got %+v, want %+v", rows, a)
	}
	rows[1].Rule, rows[1].Reason = "", ""
	if rows[1] != b {
		t.Errorf("got %+v, want %+v", rows[1], b)
	}
	for i := range maxHosts + 10 {
		s.Add(denial(fmt.Sprintf("%d.example", i)))
	}
	if n := len(s.Rows()); n != maxHosts+1 {
		t.Errorf("%d rows", n)
	}
}

// TestRecordIsAFile has what the gateway's user can put in the record's place,
// which a reader of more rights must neither follow nor wait at.
func TestRecordIsAFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(`{"host":"secret.example"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"a link":      func(path string) error { return os.Symlink(secret, path) },
		"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "egress.jsonl")
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := Read(path, func(e Event) error { return fmt.Errorf("it read %v", e) })
				ended <- err
			}()
			select {
			case err := <-ended:
				if err == nil || strings.Contains(err.Error(), "it read") {
					t.Errorf("read: %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("the reader waits")
			}
		})
	}
}
