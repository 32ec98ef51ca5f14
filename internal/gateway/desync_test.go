package gateway

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

// desynced is an origin that answers the request for /first with what it likes,
// and all others as it should; it counts connections and sees what came.
type desynced struct {
	answer func(w io.Writer)

	mu   sync.Mutex // guards the rest
	seen []string
}

func (d *desynced) serve(conn net.Conn) {
	br := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		d.mu.Lock()
		d.seen = append(d.seen, r.Method+" "+r.URL.Path)
		d.mu.Unlock()
		if r.URL.Path == "/first" {
			d.answer(conn)
			continue
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhonest %s", len("honest ")+len(r.URL.Path), r.URL.Path)
	}
}

// TestDesyncedOrigins: whatever an origin says beside its answer to one request
// is no answer to another one, and what has no end has one here.
func TestDesyncedOrigins(t *testing.T) {
	quietly()
	defer log.SetOutput(os.Stderr)
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	const second = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	text := func(all ...string) func(io.Writer) {
		return func(w io.Writer) { _, _ = io.WriteString(w, strings.Join(all, "")) }
	}
	pieces := func(head, piece string, n int, end string) func(io.Writer) {
		return func(w io.Writer) {
			_, _ = io.WriteString(w, head)
			for range n {
				if _, err := io.WriteString(w, piece); err != nil {
					return
				}
			}
			_, _ = io.WriteString(w, end)
		}
	}
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, tt := range map[string]struct {
		method string
		answer func(io.Writer)
		status int
		body   string // "" where the answer must not read as whole, or holds why
		either bool   // towards a client of HTTP/2 net/http reads it, in ways of its own
	}{
		"two answers":            {"GET", text(ok, second), 200, "ok", false},
		"bytes behind":           {"GET", text(ok, "evil"), 200, "ok", false},
		"line ends behind":       {"GET", text(ok, "\r\n\r\n"), 200, "ok", false},
		"chunks, then more":      {"GET", text(chunked, "2\r\nok\r\n0\r\n\r\n", second), 200, "ok", false},
		"HEAD with a body":       {"HEAD", text("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), 200, "", false},
		"204 with a body":        {"GET", text("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil"), 204, "", false},
		"204 with chunks":        {"GET", text("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"), 204, "", false},
		"304 with a body":        {"GET", text("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil"), 304, "", false},
		"304 and an answer":      {"GET", text("HTTP/1.1 304 Not Modified\r\n\r\n", second), 304, "", false},
		"101 with a body":        {"GET", text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: evil\r\nConnection: Upgrade\r\n\r\n", second), 502, "", false},
		"100,000 early hints":    {"GET", pieces("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 100_000, ok), 502, "", false},
		"100,000 times continue": {"GET", pieces("", "HTTP/1.1 100 Continue\r\n\r\n", 100_000, ok), 502, "", false},
		"endless chunk line":     {"GET", pieces(chunked+"2;", "x=y;", 1<<20, "\r\nok\r\n0\r\n\r\n"), 200, "", true},
		"extensions of chunks":   {"GET", pieces(chunked, "1;x="+strings.Repeat("y", 200)+"\r\nx\r\n", 1000, "0\r\n\r\n"), 200, strings.Repeat("x", 1000), true},
		"endless trailers":       {"GET", pieces(chunked+"2\r\nok\r\n0\r\n", "X-Much: "+strings.Repeat("y", 1000)+"\r\n", 4000, "\r\n"), 200, "", false},
		"a trailer that frames":  {"GET", text(chunked, "2\r\nok\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\n\r\n"), 200, "", true},
	} {
		for _, way := range []string{"plain", "inspected", "h2"} {
			t.Run(name+", "+way, func(t *testing.T) {
				w := newWorld()
				f := inspectWorld(t, w, everything("a.example"))
				origin := &desynced{answer: tt.answer}
				cert := f.notary.sign("a.example")
				w.host("a.example", 80, listen(t, origin.serve))
				w.host("a.example", 443, listen(t, func(raw net.Conn) {
					origin.serve(tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protoHTTP1}}))
				}))
				client, base := f.client(nil), "http://a.example"
				if way != "plain" {
					client, base = f.speak(map[string]string{"inspected": protoHTTP1, "h2": protoHTTP2}[way]), "https://a.example"
				}
				var peak uint64
				stop := watchHeap(&peak)
				r, err := http.NewRequestWithContext(t.Context(), tt.method, base+"/first", nil)
				if err != nil {
					t.Fatal(err)
				}
				either := tt.either && way == "h2"
				answer, err := client.Do(r)
				switch {
				case err == nil:
					body, err := io.ReadAll(answer.Body)
					answer.Body.Close()
					whole := err == nil && answer.StatusCode == 200 && tt.method == "GET"
					if answer.StatusCode != tt.status || !either && (whole != (tt.body != "") || whole && string(body) != tt.body) || strings.Contains(string(body), "evil") {
						t.Errorf("%d %.100q %v", answer.StatusCode, body, err)
					}
				case !either:
					t.Fatal(err)
				}
				for n := range 3 {
					path := fmt.Sprintf("/next/%d", n)
					if got := fetch(t, client, "GET", base+path, nil); got.StatusCode != 200 || got.body != "honest "+path {
						t.Errorf("the answer to %s is %d %q", path, got.StatusCode, got.body)
					}
				}
				if stop(); peak > 24<<20 {
					t.Errorf("%d MiB", peak>>20)
				}
				origin.mu.Lock()
				defer origin.mu.Unlock()
				if len(origin.seen) != 4 {
					t.Errorf("the origin saw %q", origin.seen)
				}
			})
		}
	}
}
