package gateway

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// early is an origin that answers each request when it has its head, and says
// so; then it reads on.
type early struct {
	answer   string
	answered chan struct{}
	got      chan string // of the body, when that is over
}

func (e *early) serve(conn net.Conn) {
	br := bufio.NewReader(conn)
	if _, err := http.ReadRequest(br); err != nil {
		return
	}
	_, _ = io.WriteString(conn, e.answer)
	e.answered <- struct{}{}
	body, _ := io.ReadAll(br)
	e.got <- string(body)
}

// earlyWorld has a.example answer before it has a body.
func earlyWorld(t *testing.T, answer string) (*looked, *early) {
	t.Helper()
	f := lookWorld(t, scanned(policy.ScanBlock, "a.example"))
	origin := &early{answer: answer, answered: make(chan struct{}, 8), got: make(chan string, 8)}
	f.w.host("a.example", 80, listen(t, origin.serve))
	cert := f.notary.sign("a.example")
	f.w.host("a.example", 443, listen(t, func(raw net.Conn) {
		origin.serve(tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protoHTTP1}}))
	}))
	return f, origin
}

// begins sends the head of a request with a body of some bytes, by HTTP/1.
func (f *looked) begins(t *testing.T, way string, length int) net.Conn {
	t.Helper()
	conn, target := dial(t, f.proxy), "http://a.example/"
	if way == "inspected" {
		over := tls.Client(dial(t, f.tls), &tls.Config{RootCAs: f.roots, ServerName: "a.example"})
		conn, target = over, "/"
	}
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n", target, length); err != nil {
		t.Fatal(err)
	}
	return conn
}

// An origin that answers before it has the body is not heard where the body is
// refused right behind the head, and its answer is cut off where that is found out
// in the middle of it. The record says refused both times, and no byte of the value
// leaves.
func TestEarlyAnswer(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	body := strings.Repeat("x", 100) + readable + strings.Repeat("y", 100)
	for _, way := range []string{"plain", "inspected"} {
		t.Run(way+", at once", func(t *testing.T) {
			f, origin := earlyWorld(t, whole)
			refused := 0
			for range 8 {
				conn := f.begins(t, way, len(body))
				<-origin.answered
				br := bufio.NewReader(conn)
				_ = conn.SetReadDeadline(time.Now().Add(earlyPatience / 10)) // by then it would be here
				_, _ = br.Peek(1)
				_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
				_, _ = io.WriteString(conn, body)
				got := readResponse(t, br, "POST")
				if got.StatusCode == http.StatusForbidden && strings.Contains(got.body, "READABLE") {
					refused++
				}
				f.neverWhole(t, conn, origin)
			}
			if refused < 5 { // a machine may be so busy that a moment is over
				t.Errorf("%d of 8 were told that it was refused", refused)
			}
		})
		t.Run(way+", in the middle of the answer", func(t *testing.T) {
			f, origin := earlyWorld(t, "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\nok")
			conn := f.begins(t, way, len(body))
			<-origin.answered
			_, _ = io.WriteString(conn, body[:50])
			br := bufio.NewReader(conn)
			answer, err := http.ReadResponse(br, nil)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("%v, %v", answer, err)
			}
			defer answer.Body.Close()
			_, _ = io.WriteString(conn, body[50:])
			if text, err := io.ReadAll(answer.Body); err == nil {
				t.Errorf("the answer is whole: %q", text)
			}
			f.neverWhole(t, conn, origin)
		})
	}
	t.Run("h2", func(t *testing.T) {
		f, origin := earlyWorld(t, whole)
		from, to := io.Pipe()
		go func() { // ends with the body
			_, _ = io.WriteString(to, body[:50])
			<-origin.answered
			_, _ = io.WriteString(to, body[50:])
			_ = to.Close()
		}()
		by := f.ways["h2"]
		if got := fetch(t, by.client, "POST", by.base+"/", from); got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "READABLE") {
			t.Errorf("%d %q", got.StatusCode, got.body)
		}
		f.neverWhole(t, nil, origin)
	})
}

// neverWhole is what holds of a body that was refused: nothing of the value
// arrived, the record says so, and the connection is over.
func (f *looked) neverWhole(t *testing.T, conn net.Conn, origin *early) {
	t.Helper()
	if got := <-origin.got; strings.Contains(got, readable[:8]) {
		t.Errorf("the origin was sent %q", got)
	}
	f.eventually("its end in the record", func(e audit.Event) bool {
		return e.Phase == audit.Close && e.Decision == audit.Denied && strings.Contains(e.Reason, "READABLE")
	})
	if conn != nil {
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if rest, err := io.ReadAll(conn); err != nil && !isReset(err) || strings.Contains(string(rest), "ok") {
			t.Errorf("after it came %q, %v", rest, err)
		}
		conn.Close()
	}
}

// isReset says whether the other side ended a connection in which bytes were under way.
func isReset(err error) bool { return strings.Contains(err.Error(), "reset") }
