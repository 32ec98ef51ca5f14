package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// tlsOrigin serves echo with cert.
func tlsOrigin(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// clientHello is what a real client of crypto/tls says first.
func clientHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	done := make(chan []byte, 1)
	go func() {
		_, _, _ = readHello(bufio.NewReader(io.LimitReader(b, 0)))
		var raw bytes.Buffer
		_, _, _ = readHello(bufio.NewReaderSize(io.TeeReader(b, &raw), 16))
		b.Close()
		done <- raw.Bytes()
	}()
	_ = tls.Client(a, config).HandshakeContext(t.Context())
	a.Close()
	return <-done
}

func TestConnectTLS(t *testing.T) {
	w := newWorld()
	cert, pool := certificate(t, "a.example", "b.example")
	w.host("a.example", 443, tlsOrigin(t, cert))
	w.host("a.example", 8443, tlsOrigin(t, cert))
	f := start(t, w, allow("a.example", "a.example:8443"))
	client := f.client(pool)
	for _, port := range []string{"", ":8443"} {
		got := fetch(t, client, "GET", "https://a.example"+port+"/x", nil).body
		if want := fmt.Sprintf(`GET a.example%s /x ""`, port); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	client.CloseIdleConnections()
	e := f.eventually("the tunnel's end", func(e audit.Event) bool { return e.Phase == audit.Close })
	if e.Kind != policy.Connect || e.Sent == 0 || e.Received == 0 || !strings.HasPrefix(e.Address, "93.184.216.") {
		t.Errorf("%+v", e)
	}
}

// What is said in a tunnel must agree with where it goes.
func TestConnectNames(t *testing.T) {
	w := newWorld()
	cert, _ := certificate(t, "a.example")
	w.host("a.example", 443, tlsOrigin(t, cert))
	w.host("a.example", 80, originServer(t, echo))
	w.routes["93.184.216.77:443"] = tlsOrigin(t, cert)
	f := start(t, w, allow("a.example", "b.example", "93.184.216.77"))
	hello := func(name string) []byte {
		return clientHello(t, &tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // nothing is verified here
	}
	ech := append([]byte(nil), buildHello(t, "a.example", extension{extECH, []byte{0, 0}})...)
	for name, tt := range map[string]struct {
		to    string
		first []byte
		want  string // the beginning of what comes after the 200
	}{
		"agrees":           {"a.example:443", hello("a.example"), "\x16\x03"},
		"agrees in case":   {"A.Example.:443", hello("a.example"), "\x16\x03"},
		"other name":       {"a.example:443", hello("b.example"), "\x15\x03\x03\x00\x02\x02\x70"},
		"evil name":        {"a.example:443", hello("evil.example"), "\x15\x03\x03\x00\x02\x02\x70"},
		"no name":          {"a.example:443", hello(""), "\x15\x03\x03\x00\x02\x02\x70"},
		"encrypted":        {"a.example:443", ech, "\x15\x03\x03\x00\x02\x02\x70"},
		"address":          {"93.184.216.77:443", hello(""), "\x16\x03"},
		"address, name":    {"93.184.216.77:443", hello("a.example"), "\x15\x03\x03\x00\x02\x02\x70"},
		"not TLS":          {"a.example:443", []byte("SSH-2.0-x\r\n"), "HTTP/1.1 403 "},
		"http on 443":      {"a.example:443", []byte("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), "HTTP/1.1 403 "},
		"http":             {"a.example:80", []byte("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), "HTTP/1.1 200 "},
		"http, other Host": {"a.example:80", []byte("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n"), "HTTP/1.1 400 "},
		"http, absolute":   {"a.example:80", []byte("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"), "HTTP/1.1 400 "},
		"nested":           {"a.example:80", []byte("CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n"), "HTTP/1.1 400 "},
		"other protocol":   {"a.example:80", []byte("SSH-2.0-x\r\n\r\n"), "HTTP/1.1 400 "},
		"http2":            {"a.example:80", []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "HTTP/1.1 400 "},
	} {
		got := say(t, f.proxy, "CONNECT "+tt.to+" HTTP/1.1\r\nHost: "+tt.to+"\r\n\r\n"+string(tt.first))
		rest, ok := strings.CutPrefix(got, "HTTP/1.1 200 Connection established\r\n\r\n")
		if !ok || !strings.HasPrefix(rest, tt.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	f.eventually("the disagreement's record", func(e audit.Event) bool {
		return e.Decision == audit.Denied && e.Reason == "the TLS server name does not agree with the CONNECT name"
	})
}

// The second request in a tunnel is judged like the first.
func TestConnectHTTPSecondRequest(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	f := start(t, w, allow("a.example", "b.example"))
	conn := dial(t, f.proxy)
	br := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n")
	block, err := readHead(br, nil)
	if err != nil || !strings.HasPrefix(block, "HTTP/1.1 200 ") {
		t.Fatal(block, err)
	}
	for _, tt := range []struct {
		host string
		code int
	}{{"a.example", 200}, {"b.example", 400}} {
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", tt.host)
		if got := readResponse(t, br, "GET"); got.StatusCode != tt.code {
			t.Errorf("%s: %d", tt.host, got.StatusCode)
		}
	}
	if got := w.dials(); len(got) != 1 {
		t.Errorf("dialled %v: the connection that was made for the tunnel is the first request's", got)
	}
}

func TestConnectRefused(t *testing.T) {
	w := newWorld()
	f := start(t, w, allow("a.example", "gone.example"))
	for target, want := range map[string]string{
		"evil.example:443": "HTTP/1.1 403 ",
		"a.example:22":     "HTTP/1.1 403 ",
		"gone.example:443": "HTTP/1.1 502 ",
		"127.0.0.1:443":    "HTTP/1.1 403 ",
		"0x7f.1:443":       "HTTP/1.1 403 ",
		"a.example:0":      "HTTP/1.1 400 ",
		"a.example:99999":  "HTTP/1.1 400 ",
		"x@a.example:443":  "HTTP/1.1 400 ",
		"a.example/:443":   "HTTP/1.1 400 ",
	} {
		if got := say(t, f.proxy, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n"); !strings.HasPrefix(got, want) || !strings.Contains(got, "Connection: close") {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
	if got := w.dials(); len(got) != 0 {
		t.Errorf("dialled %v", got)
	}
}

func TestPlainTLS(t *testing.T) {
	w := newWorld()
	cert, pool := certificate(t, "a.example")
	w.host("a.example", 443, tlsOrigin(t, cert))
	f := start(t, w, allow("a.example", "down.example", "93.184.216.77"))
	get := func(name string) error {
		d := tls.Dialer{Config: &tls.Config{ServerName: name, RootCAs: pool}}
		conn, err := d.DialContext(t.Context(), "tcp", f.tls)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprintf(conn, "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
		b, err := io.ReadAll(conn)
		if err == nil && !strings.HasSuffix(string(b), `GET a.example /x ""`) {
			err = fmt.Errorf("got %q", b)
		}
		return err
	}
	if err := get("a.example"); err != nil {
		t.Error(err)
	}
	if err := get("evil.example"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name that is not allowed: %v", err)
	}
	if err := get("down.example"); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("a name that does not resolve: %v", err)
	}
	for name, raw := range map[string][]byte{
		"no name":   buildHello(t, ""),
		"address":   buildHello(t, "93.184.216.77"),
		"encrypted": buildHello(t, "a.example", extension{extECH, []byte{0}}),
		"old ESNI":  buildHello(t, "a.example", extension{extESNI, []byte{0}}),
		"not TLS":   []byte("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
		"bad name":  buildHello(t, "a.example\x00.evil.example"),
		"two names": buildHello(t, "a.example", extension{extServerName, sniData("b.example")}),
	} {
		if got := say(t, f.tls, string(raw)); got != "\x15\x03\x03\x00\x02\x02\x70" {
			t.Errorf("%s: %q", name, got)
		}
	}
	f.eventually("the record of evil.example", func(e audit.Event) bool {
		return e.Kind == policy.TLS && e.Host == "evil.example" && e.Decision == audit.Denied
	})
	if got := w.dials(); len(got) != 1 {
		t.Errorf("dialled %v", got)
	}
}

// The end of one direction is passed on, and the other goes on.
func TestHalfClose(t *testing.T) {
	w := newWorld()
	hello := buildHello(t, "a.example")
	w.host("a.example", 443, listen(t, func(conn net.Conn) {
		b, err := io.ReadAll(conn) // up to the client's end
		if err == nil {
			fmt.Fprintf(conn, "%d bytes, then the end", len(b))
		}
	}))
	f := start(t, w, allow("a.example"))
	got := say(t, f.tls, string(hello)+"more")
	if want := fmt.Sprintf("%d bytes, then the end", len(hello)+4); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// And the other way round: upstream ends first, the client still speaks.
	heard := make(chan string, 1)
	w.host("b.example", 443, listen(t, func(conn net.Conn) {
		_ = conn.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(conn)
		heard <- string(b[len(b)-4:])
	}))
	f = start(t, w, allow("b.example"))
	conn := dial(t, f.tls)
	_, _ = conn.Write(buildHello(t, "b.example"))
	if n, err := conn.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // it is what Read returns
		t.Fatal(n, err)
	}
	_, _ = io.WriteString(conn, "late")
	conn.Close()
	if got := <-heard; got != "late" {
		t.Errorf("upstream heard %q", got)
	}
}
