package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func zipped(t testing.TB, coding, text string) string {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	if coding == "deflate" {
		w = zlib.NewWriter(&out)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func coded(coding string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Content-Encoding", coding) }
}

// Bodies in a coding are looked into, and go on as they came; those in one that
// nothing here opens are refused.
func TestContentCodings(t *testing.T) {
	f := lookWorld(t, scanned("", "a.example"))
	text := strings.Repeat("ordinary text, ", 20_000)
	for way, by := range f.ways {
		for _, coding := range []string{"gzip", "deflate"} {
			for _, pad := range []string{"", text} {
				clean := zipped(t, coding, pad+"and so on")
				answer := fetch(t, by.client, "POST", by.base+"/", strings.NewReader(clean), coded(coding))
				if got := f.sink.drain(); answer.StatusCode != 200 || !strings.HasSuffix(got, clean) {
					t.Errorf("%s %s: %d, %d bytes: %s", way, coding, answer.StatusCode, len(got), answer.body)
				}
				answer = fetch(t, by.client, "POST", by.base+"/", strings.NewReader(zipped(t, coding, pad+readable+pad)), coded(coding))
				if answer.StatusCode != http.StatusForbidden || !strings.Contains(answer.body, "READABLE") {
					t.Errorf("%s %s: %d %s", way, coding, answer.StatusCode, answer.body)
				}
				f.sink.drain()
			}
		}
		for _, coding := range []string{"br", "zstd", "compress", "gzip, gzip", "x\x80"} {
			answer := fetch(t, by.client, "POST", by.base+"/", strings.NewReader("whatever"), coded(coding))
			if answer.StatusCode != http.StatusForbidden || !strings.Contains(answer.body, "content coding") || f.sink.drain() != "" {
				t.Errorf("%s %s: %d %s", way, coding, answer.StatusCode, answer.body)
			}
		}
		for what, body := range map[string]string{"no gzip": "plain text", "cut short": zipped(t, "gzip", text)[:500]} {
			answer := fetch(t, by.client, "POST", by.base+"/", strings.NewReader(body), coded("gzip"))
			if answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: %d %s", way, what, answer.StatusCode, answer.body)
			}
		}
	}
	e := scanned(policy.ScanWarn, "a.example")
	f = lookWorld(t, e)
	by := f.ways["inspected"]
	if answer := fetch(t, by.client, "POST", by.base+"/", strings.NewReader("whatever"), coded("br")); answer.StatusCode != 200 {
		t.Errorf("warned: %d", answer.StatusCode)
	}
	f.eventually("the line of it", func(e audit.Event) bool { return e.Kind == audit.Found && strings.Contains(e.Reason, "content coding") })
}

// A body that decodes to gigabytes is not decoded to gigabytes.
func TestBomb(t *testing.T) {
	var bomb bytes.Buffer
	w, _ := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	zeroes := make([]byte, 1<<20)
	for range 256 {
		_, _ = w.Write(zeroes)
	}
	_ = w.Close()
	f := lookWorld(t, scanned("", "a.example"))
	for way, by := range f.ways {
		before := allocated()
		answer := fetch(t, by.client, "POST", by.base+"/", bytes.NewReader(bomb.Bytes()), coded("gzip"))
		if answer.StatusCode != http.StatusForbidden || !strings.Contains(answer.body, "grows too much") {
			t.Errorf("%s: %d %s", way, answer.StatusCode, answer.body)
		}
		if grown := allocated() - before; grown > 16<<20 {
			t.Errorf("%s: %d bytes were allocated", way, grown)
		}
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// slowly is a body that gives nothing more once it has given n bytes, until it
// is let go.
type slowly struct {
	n    int
	text []byte
	gave chan<- struct{}
	wait <-chan struct{}
	once sync.Once
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.n > 0 {
		n := copy(p, s.text[len(s.text)-s.n:])
		s.n -= n
		return n, nil
	}
	s.once.Do(func() { s.gave <- struct{}{} })
	<-s.wait
	return 0, io.EOF
}

// A hundred bodies at once, each a megabyte in and all of it scanned, some in
// gzip, are held in bounded memory.
func TestStreamsMemory(t *testing.T) {
	const streams = 100
	f := lookWorld(t, scanned(policy.ScanBlock, "a.example"))
	f.serve(f.w, "a.example", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	var plain []byte
	for i := range 70_000 { // of other numbers each time, or it is a bomb in gzip
		plain = fmt.Appendf(plain, "xoxb-%08d ", i*7919%100_000_000)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(plain)
	_ = w.Close()
	gave, wait := make(chan struct{}, streams), make(chan struct{})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	by := f.ways["inspected"]
	fetch(t, by.client, "POST", by.base+"/", strings.NewReader("first"))
	before := heap()
	var all sync.WaitGroup
	for i := range streams {
		all.Go(func() {
			body := &slowly{n: len(plain), text: plain, gave: gave, wait: wait}
			if i%4 == 0 {
				body.n, body.text = packed.Len(), packed.Bytes()
			}
			answer := fetch(t, by.client, "POST", by.base+"/", body, func(r *http.Request) {
				if i%4 == 0 {
					r.Header.Set("Content-Encoding", "gzip")
				}
			})
			if answer.StatusCode != http.StatusOK {
				t.Errorf("stream %d: %d %s", i, answer.StatusCode, answer.body)
			}
		})
	}
	for range streams {
		<-gave
	}
	grown := int64(heap() - before)
	close(wait)
	all.Wait()
	// Clients, origin and gateway are all in this process, with the buffers of
	// two TLS connections each.
	if grown > 64<<20 { // of 85 that went through
		t.Errorf("100 streams hold %d MiB", grown>>20)
	}
	t.Logf("100 streams hold %d KiB", grown>>10)
}

// A client that begins the next chunk while something is held back, and takes its
// time for the rest of the size, has that time.
func TestSlowChunksWhileHeld(t *testing.T) {
	f := lookWorld(t, scanned(policy.ScanBlock, "a.example"))
	conn := dial(t, f.proxy)
	for _, said := range []struct {
		text string
		wait time.Duration // behind it
	}{
		{"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxoxb-\r\n", guardPatience / 4},
		{"1", 3 * guardPatience},
		{"0\r\n1aaaaaaaaaaaaaaa\r\n", guardPatience / 4},
		{"0", 3 * guardPatience},
		{"\r\n\r\n", 0},
	} {
		if _, err := io.WriteString(conn, said.text); err != nil {
			t.Fatal(err)
		}
		<-time.After(said.wait)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("%d %s, %v", answer.StatusCode, body, err)
	}
}
