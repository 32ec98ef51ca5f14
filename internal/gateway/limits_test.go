package gateway

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
)

// Who holds every connection without asking for anything loses the oldest to
// whoever comes; who holds them with half a request loses them by time.
func TestConnectionHog(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	f := start(t, w, allow("a.example"), func(s *server) {
		s.limits.connections = 4
		s.limits.head = 300 * time.Millisecond
	})
	var hogs []net.Conn
	for range 4 {
		hogs = append(hogs, dial(t, f.proxy))
	}
	const get = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"
	if got := say(t, f.proxy, get); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("beside four that are silent: %q", got)
	}
	for _, hog := range hogs {
		if _, err := hog.Read(make([]byte, 1)); err == nil {
			t.Error("a silent client was told something")
		}
	}
	waitFor(t, "an answer", func() bool { return strings.HasPrefix(say(t, f.proxy, get), "HTTP/1.1 200 ") })
}

// Clients that are at work are not closed for others.
func TestBusyClientsStay(t *testing.T) {
	w := newWorld()
	release := make(chan struct{})
	w.host("a.example", 80, originServer(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = io.WriteString(w, "late")
	}))
	f := start(t, w, allow("a.example"), func(s *server) { s.limits.connections = 2 })
	const get = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
	var busy []net.Conn
	for range 2 {
		conn := dial(t, f.proxy)
		_, _ = io.WriteString(conn, get)
		busy = append(busy, conn)
	}
	waitFor(t, "both are at work", func() bool { return len(w.dials()) == 2 })
	if got, err := io.ReadAll(dial(t, f.proxy)); len(got) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a third one: %q, %v", got, err)
	}
	close(release)
	for _, conn := range busy {
		if b, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(b), "late") {
			t.Errorf("%q, %v", b, err)
		}
	}
}

// Ten thousand clients that connect and say nothing cost no more than the
// limit, and keep nobody from being served at once.
func TestManyIdleClients(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	f := start(t, w, allow("a.example"), func(s *server) { s.limits.connections = 500 })
	const clients, held = 10_000, 1_000
	var idle []net.Conn
	defer func() {
		for _, conn := range idle {
			conn.Close()
		}
	}()
	slowest := time.Duration(0)
	for i := range clients {
		conn, err := connect(t, "tcp", f.proxy)
		if err != nil {
			t.Fatal(err)
		}
		if len(idle) < held {
			idle = append(idle, conn)
		} else { // ours are bounded by descriptors too
			idle[i%held].Close()
			idle[i%held] = conn
		}
		if i%1000 != 999 {
			continue
		}
		began := time.Now()
		if got := say(t, f.proxy, "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Fatalf("after %d idle clients: %q", i, got)
		}
		slowest = max(slowest, time.Since(began))
	}
	f.server.mu.Lock()
	open := len(f.server.conns)
	f.server.mu.Unlock()
	if open > 510 {
		t.Errorf("%d connections are open", open)
	}
	t.Logf("the slowest answer took %s", slowest)
}

// A head must be there in time, however busy its sender is.
func TestSlowHead(t *testing.T) {
	f := start(t, newWorld(), allow("a.example"), func(s *server) { s.limits.head = 100 * time.Millisecond })
	conn := dial(t, f.proxy)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.WriteString(conn, "G"); err != nil {
				return
			}
		}
	}()
	began := time.Now()
	b, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(b), "HTTP/1.1 408 ") || time.Since(began) > 3*time.Second {
		t.Errorf("after %v: %q", time.Since(began), b)
	}
	conn.Close()
	second := dial(t, f.proxy) // the second head on a connection has no more time
	br := bufio.NewReader(second)
	_, _ = io.WriteString(second, "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	readResponse(t, br, "GET")
	_, _ = io.WriteString(second, "G")
	if b, _ := io.ReadAll(br); !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
		t.Errorf("a slow second head: %q", b)
	}
	tunnel := dial(t, f.tls)
	_, _ = tunnel.Write(buildHello(t, "a.example")[:20])
	if b, _ := io.ReadAll(tunnel); string(b) != "\x15\x03\x03\x00\x02\x02\x70" {
		t.Errorf("half a ClientHello: %q", b)
	}
}

func TestHeaderBombs(t *testing.T) {
	f := start(t, newWorld(), allow("a.example"))
	endless := func(prefix, unit string) string { return prefix + strings.Repeat(unit, 2*maxHead/len(unit)) }
	for name, raw := range map[string]string{
		"one long line":   endless("GET http://a.example/", "x"),
		"one long field":  endless("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX: ", "x"),
		"many fields":     endless("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n", "X: y\r\n"),
		"only separators": endless("", "\r"),
	} {
		conn := dial(t, f.proxy)
		_, _ = io.WriteString(conn, raw)
		if got := readResponse(t, bufio.NewReader(conn), "GET"); got.StatusCode != 431 {
			t.Errorf("%s: %d", name, got.StatusCode)
		}
		conn.Close()
	}
}

// A thousand clients that each fill a head and stop cost what a few may hold,
// and whoever came too late for a large one is told at once.
func TestHogMemory(t *testing.T) {
	f := start(t, newWorld(), allow("a.example"))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	const clients = 1000
	head := "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX: " + strings.Repeat("x", 60<<10)
	conns := make([]net.Conn, clients)
	for i := range conns {
		conns[i] = dial(t, f.proxy)
		_, _ = io.WriteString(conns[i], head)
	}
	refused := 0
	for i := clients - 1; i >= clients/2; i-- {
		if got := readResponse(t, bufio.NewReaderSize(conns[i], 512), "GET"); got.StatusCode == http.StatusRequestHeaderFieldsTooLarge {
			refused++
		}
	}
	if n := len(f.server.large); n != largeHeads || refused != clients/2 {
		t.Errorf("%d large heads are held, and %d of the last %d clients were refused", n, refused, clients/2)
	}
	if grown := int64(heap()) - int64(before); grown > 64<<20 {
		t.Errorf("%d MiB for %d clients", grown>>20, clients)
	}
	for _, conn := range conns {
		conn.Close()
	}
	waitFor(t, "large heads are free again", func() bool { return len(f.server.large) == 0 })
}

// When the record cannot be written nothing leaves, and the reason is said.
func TestRecordFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	f := &fixture{t: t, record: "/dev/full"}
	f.run(w, allow("a.example", "*.a.example"))
	got := say(t, f.proxy, "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "no space left on device") {
		t.Errorf("%q", got)
	}
	looked := len(w.asked)
	if got := say(t, f.proxy, "GET http://secret.a.example/ HTTP/1.1\r\nHost: secret.a.example\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("%q", got)
	}
	if len(w.asked) != looked {
		t.Errorf("names go out without a record: %v", w.asked)
	}
	if got := w.dials(); len(got) != 0 {
		t.Errorf("dialled %v", got)
	}
}

// A tunnel that is open when the record ends is cut.
func TestRecordFullCutsTunnels(t *testing.T) {
	w := newWorld()
	upstream := make(chan error, 1)
	w.host("a.example", 443, listen(t, func(conn net.Conn) {
		_, err := io.Copy(conn, conn)
		upstream <- err
	}))
	f := start(t, w, allow("a.example"), func(s *server) {
		if err := s.journal.writer.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		if s.journal.writer, err = audit.OpenWriter(filepath.Join(t.TempDir(), "small"), 1000); err != nil {
			t.Fatal(err)
		}
	})
	tunnel := dial(t, f.tls)
	_, _ = tunnel.Write(buildHello(t, "a.example"))
	if _, err := io.ReadFull(tunnel, make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	const refused = "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"
	waitFor(t, "the record is full", func() bool { return strings.HasPrefix(say(t, f.proxy, refused), "HTTP/1.1 503 ") })
	if _, err := io.ReadAll(tunnel); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the tunnel lives on without a record")
	}
	if err := <-upstream; errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("upstream's side lives on")
	}
	if got := say(t, f.proxy, "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"); !strings.Contains(got, audit.ErrFull.Error()) {
		t.Errorf("a new request: %q", got)
	}
}

// Nothing moves: the tunnel ends. One direction moves: both stay.
func TestIdleTunnel(t *testing.T) {
	w := newWorld()
	w.host("a.example", 443, listen(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		if _, _, err := readHello(br); err != nil {
			return
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range 30 { // 600 ms of one direction, then silence
			<-tick.C
			if _, err := io.WriteString(conn, "."); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, conn)
	}))
	f := start(t, w, allow("a.example"), func(s *server) { s.limits.idle = 200 * time.Millisecond })
	conn := dial(t, f.tls)
	_, _ = conn.Write(buildHello(t, "a.example"))
	b, err := io.ReadAll(conn)
	if len(b) != 30 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	f.eventually("the end", func(e audit.Event) bool { return e.Phase == audit.Close && e.Received == 30 })
}

// A client that goes away in the middle takes its upstream connection along.
func TestClientGone(t *testing.T) {
	w := newWorld()
	gone := make(chan error, 2)
	w.host("a.example", 80, listen(t, func(conn net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		gone <- err
	}))
	f := start(t, w, allow("a.example"))
	conn := dial(t, f.proxy)
	_, _ = io.WriteString(conn, "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\npart")
	waitFor(t, "the request upstream", func() bool { return len(w.dials()) == 1 })
	conn.Close()
	if err := <-gone; err == nil {
		t.Error("upstream took a part for the whole")
	}
	f.eventually("the end", func(e audit.Event) bool { return e.Phase == audit.Close && e.Decision == audit.Failed })
}

// The gateway's end ends what is under way, and the record says so.
func TestEndClosesTunnels(t *testing.T) {
	w := newWorld()
	w.host("a.example", 443, listen(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) }))
	record := filepath.Join(t.TempDir(), "record")
	var conn net.Conn
	t.Run("gateway", func(t *testing.T) {
		f := &fixture{t: t, record: record}
		f.run(w, allow("a.example"))
		var err error
		if conn, err = connect(t, "tcp", f.tls); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(buildHello(t, "a.example"))
		if _, err := io.ReadFull(conn, make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		if got := f.events(); len(got) != 1 || got[0].Phase != audit.Open {
			t.Errorf("while it is open: %+v", got)
		}
	})
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the tunnel outlives the gateway")
	}
	f := &fixture{t: t, record: record}
	if got := f.events(); len(got) != 2 || got[1].Phase != audit.Close || got[1].Sent == 0 {
		t.Errorf("afterwards: %+v", got)
	}
}
