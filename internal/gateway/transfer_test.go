package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
)

// A server that streams is heard as it speaks.
func TestServerSentEvents(t *testing.T) {
	w := newWorld()
	next := make(chan struct{})
	w.host("a.example", 80, originServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	}))
	f := start(t, w, allow("a.example"))
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a.example/", nil)
	resp, err := f.client(nil).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for i := range 3 {
		line, err := br.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%q, %v", line, err)
		}
		_, _ = br.ReadString('\n')
		next <- struct{}{}
	}
	if b, err := io.ReadAll(br); err != nil || len(b) != 0 {
		t.Errorf("%q %v", b, err)
	}
}

// Large bodies go both ways at once, unchanged, by length and by chunks.
func TestLargeBodies(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	}))
	f := start(t, w, allow("a.example"))
	const size = 8 << 20
	for name, length := range map[string]int64{"length": size, "chunks": -1} {
		sent := sha256.New()
		body := io.TeeReader(io.LimitReader(&pattern{}, size), sent)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a.example/", io.NopCloser(body))
		req.ContentLength = length
		resp, err := f.client(nil).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		received := sha256.New()
		n, err := io.Copy(received, resp.Body)
		resp.Body.Close()
		if err != nil || n != size || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
	f.eventually("the totals", func(e audit.Event) bool { return e.Phase == audit.Close && e.Sent > size && e.Received > size })
}

// pattern is an endless stream that repeats only after 251 bytes.
type pattern struct{ n int }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(p.n % 251)
		p.n++
	}
	return len(b), nil
}

func TestContinueAndEarlyHints(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>")
		w.WriteHeader(http.StatusEarlyHints)
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		echo(w, r)
	}))
	f := start(t, w, allow("a.example"))
	conn := dial(t, f.proxy)
	br := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, "POST http://a.example/yes HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	for _, want := range []int{103, 100} {
		if got := readResponse(t, br, "POST"); got.StatusCode != want {
			t.Fatalf("%d, want %d", got.StatusCode, want)
		}
	}
	_, _ = io.WriteString(conn, "body")
	if got := readResponse(t, br, "POST"); got.StatusCode != 200 || !strings.Contains(got.body, `"body"`) {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	// A server that declines without reading: the answer arrives, and the
	// connection ends as nobody knows whether a body follows.
	_, _ = io.WriteString(conn, "POST http://a.example/no HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	for _, want := range []int{103, 417} {
		if got := readResponse(t, br, "POST"); got.StatusCode != want {
			t.Fatalf("%d, want %d", got.StatusCode, want)
		}
	}
	if _, err := br.ReadByte(); err == nil {
		t.Error("the connection goes on")
	}
}

func TestTrailers(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Down")
		fmt.Fprintf(w, "up %s", r.Trailer.Get("X-Up"))
		w.Header().Set("X-Down", "2")
	}))
	f := start(t, w, allow("a.example"))
	got := fetch(t, f.client(nil), "POST", "http://a.example/", io.NopCloser(strings.NewReader("b")), func(r *http.Request) {
		r.Trailer = http.Header{"X-Up": {"1"}}
	})
	if got.body != "up 1" || got.Trailer.Get("X-Down") != "2" {
		t.Errorf("%q, trailer %v", got.body, got.Trailer)
	}
}

// Bodiless answers keep the connection in step.
func TestAnswersWithoutBody(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		default:
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		}
	}))
	f := start(t, w, allow("a.example"))
	conn := dial(t, f.proxy)
	br := bufio.NewReader(conn)
	for _, tt := range []struct{ method, path, body string }{
		{"HEAD", "/x", ""}, {"GET", "/204", ""}, {"GET", "/304", ""}, {"GET", "/x", "hello"}, {"HEAD", "/x", ""},
	} {
		fmt.Fprintf(conn, "%s http://a.example%s HTTP/1.1\r\nHost: a.example\r\n\r\n", tt.method, tt.path)
		got := readResponse(t, br, tt.method)
		if got.body != tt.body || tt.method == "HEAD" && got.ContentLength != 5 {
			t.Errorf("%s %s: %d %q", tt.method, tt.path, got.ContentLength, got.body)
		}
	}
}

func TestOldServersAndClients(t *testing.T) {
	w := newWorld()
	w.host("old.example", 80, listen(t, func(conn net.Conn) { // the body ends with the connection
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
		}
	}))
	w.host("new.example", 80, originServer(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush() // chunked
		_, _ = io.WriteString(w, "in chunks")
	}))
	f := start(t, w, allow("*.example"))
	if got := say(t, f.proxy, "GET http://old.example/ HTTP/1.1\r\nHost: old.example\r\n\r\n"); !strings.HasSuffix(got, "Connection: close\r\n\r\nuntil the end") {
		t.Errorf("%q", got)
	}
	got := say(t, f.proxy, "GET http://new.example/ HTTP/1.0\r\nHost: new.example\r\n\r\n")
	if !strings.HasSuffix(got, "\r\n\r\nin chunks") || strings.Contains(got, "chunked") {
		t.Errorf("%q", got)
	}
}

// A kept connection that upstream closes in the meantime is not the client's
// trouble.
func TestStaleConnection(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, listen(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_, _ = http.ReadRequest(br) // and close, in spite of the request
	}))
	f := start(t, w, allow("a.example"))
	conn := dial(t, f.proxy)
	br := bufio.NewReader(conn)
	for i := range 3 {
		_, _ = io.WriteString(conn, "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")
		if got := readResponse(t, br, "GET"); got.StatusCode != 200 {
			t.Fatalf("request %d: %d", i, got.StatusCode)
		}
	}
	if n := len(w.dials()); n != 3 {
		t.Errorf("%d dials", n)
	}
}

// A request that may not be repeated finds out beforehand that the kept
// connection has ended.
func TestClosedConnectionIsNotUsed(t *testing.T) {
	w := newWorld()
	closed := make(chan struct{}, 3)
	w.host("a.example", 80, listen(t, func(conn net.Conn) {
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		conn.Close()
		closed <- struct{}{}
	}))
	f := start(t, w, allow("a.example"))
	conn := dial(t, f.proxy)
	br := bufio.NewReader(conn)
	for i := range 3 {
		_, _ = io.WriteString(conn, "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx")
		if got := readResponse(t, br, "POST"); got.StatusCode != 200 {
			t.Fatalf("request %d: %d", i, got.StatusCode)
		}
		<-closed
	}
}

func TestWebSocket(t *testing.T) {
	w := newWorld()
	origin := listen(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		r, err := http.ReadRequest(br)
		if err != nil || r.Header.Get("Upgrade") != "websocket" {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n\x81\x03hi:")
		said := make([]byte, 9)
		if _, err := io.ReadFull(br, said); err == nil {
			_, _ = io.WriteString(conn, "\x81\x03"+string(said[6:]))
		}
		_, _ = io.Copy(io.Discard, br)
	})
	w.host("a.example", 80, origin)
	f := start(t, w, allow("a.example"))
	for name, tt := range map[string]struct{ address, target string }{
		"plain": {f.http, "/"}, "proxy": {f.proxy, "http://a.example/"},
	} {
		got := say(t, tt.address, "GET "+tt.target+" HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n\x81\x83\x00\x00\x00\x00abc")
		if !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, "Upgrade: websocket\r\n\r\n\x81\x03hi:\x81\x03abc") {
			t.Errorf("%s: %q", name, got)
		}
	}
	f.eventually("the totals", func(e audit.Event) bool { return e.Phase == audit.Close && e.Received > 50 && e.Sent > 9 })
}
