package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
)

func originServer(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s %q", r.Method, r.Host, r.RequestURI, b)
}

func TestAbsoluteForm(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	f := start(t, w, allow("a.example"))
	client := f.client(nil)
	for range 3 {
		if got, want := fetch(t, client, "POST", "http://a.example/p?q=s", strings.NewReader("body")).body, `POST a.example /p?q=s "body"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := w.dials(); len(got) != 1 { // kept between requests
		t.Errorf("dialled %v", got)
	}
	if len(w.asked) != 1 || w.asked[0] != "a.example." {
		t.Errorf("looked up %v, want one absolute name", w.asked)
	}
}

// Requests on one connection are decided one by one.
func TestEachRequestDecidedAnew(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	w.host("b.example", 80, originServer(t, echo))
	w.host("evil.example", 80, originServer(t, echo))
	f := start(t, w, allow("a.example", "b.example"))
	conn := dial(t, f.proxy)
	br := bufio.NewReader(conn)
	for _, tt := range []struct {
		host string
		code int
	}{{"a.example", 200}, {"evil.example", 403}, {"b.example", 200}, {"a.example", 200}} {
		fmt.Fprintf(conn, "GET http://%s/ HTTP/1.1\r\nHost: %[1]s\r\n\r\n", tt.host)
		got := readResponse(t, br, "GET")
		if got.StatusCode != tt.code || !strings.Contains(got.body, tt.host) {
			t.Errorf("%s: %d %s", tt.host, got.StatusCode, got.body)
		}
	}
}

func TestPipelining(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	f := start(t, w, allow("a.example"))
	got := say(t, f.proxy, strings.Repeat("POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx", 5))
	if n := strings.Count(got, "HTTP/1.1 200 OK"); n != 5 {
		t.Errorf("%d answers: %q", n, got)
	}
}

func TestPlainHTTP(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	f := start(t, w, allow("a.example", "a.example:8080"))
	for raw, want := range map[string]string{
		"GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n":                 "HTTP/1.1 200 ",
		"GET /x HTTP/1.1\r\nHost: a.example:80\r\nConnection: close\r\n\r\n":              "HTTP/1.1 200 ",
		"GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n": "HTTP/1.1 200 ",
		"OPTIONS * HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n":              "HTTP/1.1 200 ",
		"GET /x HTTP/1.0\r\nHost: a.example\r\n\r\n":                                      "HTTP/1.1 200 ",
		"GET /x HTTP/1.1\r\nHost: a.example:8080\r\n\r\n":                                 "HTTP/1.1 400 ",
		"GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n":                                   "HTTP/1.1 403 ",
		"GET http://evil.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n":                    "HTTP/1.1 400 ",
		"GET /x HTTP/1.0\r\n\r\n":                                                         "HTTP/1.1 400 ",
		"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n":                   "HTTP/1.1 400 ",
		"GET x HTTP/1.1\r\nHost: a.example\r\n\r\n":                                       "HTTP/1.1 400 ",
	} {
		if got := say(t, f.http, raw); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func TestRefusalExplainsItself(t *testing.T) {
	f := start(t, newWorld(), allow("a.example"))
	client := f.client(nil)
	got := fetch(t, client, "GET", "http://evil.example:8080/x?token=s3cret", nil)
	want := "claude-bottle refused this: evil.example is not on the allowlist\nhost: evil.example:8080\nrule: default\n" +
		"A person can allow it, in the bottle's manifest: egress: {allowlist: [\"evil.example:8080\"]}\n"
	if got.StatusCode != 403 || got.body != want || got.Header.Get("X-Claude-Bottle") != "refused" {
		t.Errorf("%d %v\n%s", got.StatusCode, got.Header, got.body)
	}
	got = fetch(t, client, "GET", "http://evil.example/x", nil, func(r *http.Request) {
		r.Header.Set("Accept", "text/html, application/json;q=0.5")
	})
	var e explanation
	if err := json.Unmarshal([]byte(got.body), &e); err != nil || got.Header.Get("Content-Type") != "application/json" {
		t.Fatal(err, got.Header)
	}
	if e.Host != "evil.example" || e.Port != 80 || e.Rule != "default" || !strings.Contains(e.Remedy, `"evil.example"`) {
		t.Errorf("%+v", e)
	}
	event := f.eventually("the record", func(e audit.Event) bool { return e.Port == 8080 })
	if event.Path != "/x" || event.Decision != audit.Denied || event.Method != "GET" {
		t.Errorf("%+v", event)
	}
}

func TestUpstreamFailuresAreReadable(t *testing.T) {
	w := newWorld()
	w.names["down.example"] = []netip.Addr{addr("93.184.216.200")}
	f := start(t, w, allow("down.example", "gone.example"))
	for host, want := range map[string]string{
		"down.example": "connecting to down.example port 80: connection refused",
		"gone.example": "gone.example does not exist",
	} {
		got := fetch(t, f.client(nil), "GET", "http://"+host+"/", nil)
		if got.StatusCode != 502 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s", host, got.StatusCode, got.body)
		}
		f.eventually(host, func(e audit.Event) bool { return e.Host == host && e.Decision == audit.Failed })
	}
}

// The address that was judged is the one that is dialled; those that are not
// public never are, whatever name they hide behind.
func TestRebinding(t *testing.T) {
	w := newWorld()
	origin := originServer(t, echo)
	w.routes["93.184.216.34:80"] = origin
	w.names["mixed.example"] = []netip.Addr{addr("10.0.0.1"), addr("169.254.169.254"), addr("93.184.216.33"), addr("93.184.216.34")}
	for name, address := range map[string]string{
		"meta.example": "169.254.169.254", "loop.example": "127.0.0.1", "mapped.example": "::ffff:127.0.0.1", "nat64.example": "64:ff9b::a9fe:a9fe",
		"private.example": "192.168.0.1", "host.example": "93.184.216.99", "azure.example": "168.63.129.16", "unique.example": "fd00::1",
	} {
		w.names[name] = []netip.Addr{addr(address)}
	}
	e := allow("*.example", "fixed.test", "127.0.0.1", "10.9.9.9")
	e.Resolve = map[string]netip.Addr{"fixed.test": addr("10.0.0.5")}
	f := start(t, w, e, func(s *server) { s.own.fixed = []netip.Addr{addr("93.184.216.99")} })
	for name := range w.names {
		code := 403
		if name == "mixed.example" {
			code = 200
		}
		if got := fetch(t, f.client(nil), "GET", "http://"+name+"/", nil); got.StatusCode != code {
			t.Errorf("%s: %d", name, got.StatusCode)
		}
	}
	for _, host := range []string{"fixed.test", "127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "10.9.9.9"} {
		if got := say(t, f.proxy, fmt.Sprintf("GET http://%s/ HTTP/1.1\r\nHost: %[1]s\r\n\r\n", host)); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
			t.Errorf("%s: %q", host, got)
		}
	}
	got := strings.Join(w.dials(), " ")
	if got != "93.184.216.33:80 93.184.216.34:80" { // the first public one refuses, the second answers
		t.Errorf("dialled %s", got)
	}
	event := f.eventually("the address in the record", func(e audit.Event) bool { return e.Phase == audit.Close })
	if event.Address != "93.184.216.34" {
		t.Errorf("%+v", event)
	}
}

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
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhi:")
		_, _ = io.Copy(conn, br)
	})
	w.host("a.example", 80, origin)
	f := start(t, w, allow("a.example"))
	for name, tt := range map[string]struct{ address, target string }{
		"plain": {f.http, "/"}, "proxy": {f.proxy, "http://a.example/"},
	} {
		got := say(t, tt.address, "GET "+tt.target+" HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n\x81\x03abc")
		if !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, "Upgrade: websocket\r\n\r\nhi:\x81\x03abc") {
			t.Errorf("%s: %q", name, got)
		}
	}
	f.eventually("the totals", func(e audit.Event) bool { return e.Phase == audit.Close && e.Received > 50 })
}

func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	w := newWorld()
	cert, _ := certificate(t, "tls.example")
	w.host("a.example", 80, originServer(t, echo))
	w.host("tls.example", 443, tlsOrigin(t, cert))
	f := start(t, w, allow("a.example", "tls.example"))
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"http":            {[]string{"http://a.example/x"}, `GET a.example /x ""`},
		"post":            {[]string{"-d", "abc", "http://a.example/x"}, `POST a.example /x "abc"`},
		"chunked":         {[]string{"-H", "Transfer-Encoding: chunked", "-d", "abc", "http://a.example/x"}, `POST a.example /x "abc"`},
		"http 1.0":        {[]string{"-0", "http://a.example/x"}, `GET a.example /x ""`},
		"http in CONNECT": {[]string{"-p", "http://a.example/x"}, `GET a.example /x ""`},
		"https":           {[]string{"-k", "https://tls.example/x"}, `GET tls.example /x ""`},
		"two":             {[]string{"http://a.example/1", "http://a.example/2"}, `GET a.example /1 ""GET a.example /2 ""`},
		"refused":         {[]string{"http://evil.example/"}, "claude-bottle refused this: evil.example is not on the allowlist"},
	} {
		args := append([]string{"-sS", "--max-time", "10", "--noproxy", "", "-x", "http://" + f.proxy}, tt.args...)
		out, err := exec.CommandContext(t.Context(), curl, args...).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), tt.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), curl, "-sS", "-k", "--max-time", "10", "-x", "http://"+f.proxy, "https://evil.example/").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "403") {
		t.Errorf("refused CONNECT: %v %s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), curl, "-sS", "-k", "--max-time", "10", "--connect-to", "evil.example:443:"+f.tls, "https://evil.example/").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "unrecognized name") {
		t.Errorf("refused TLS: %v %s", err, out)
	}
}

func TestUpstreamProxy(t *testing.T) {
	w := newWorld()
	cert, pool := certificate(t, "tls.example")
	secure := tlsOrigin(t, cert)
	var seen []string
	proxy := listen(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		user, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
		seen = append(seen, r.Method+" "+r.RequestURI+" "+user+":"+password)
		if r.Method != http.MethodConnect {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nproxied")
			return
		}
		if strings.HasPrefix(r.RequestURI, "denied") {
			_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		up, err := connect(t, "tcp", secure)
		if err != nil {
			return
		}
		defer up.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: y\r\n\r\n")
		go func() { _, _ = io.Copy(up, br); up.Close() }()
		_, _ = io.Copy(conn, up)
	})
	w.names["proxy.corp"] = []netip.Addr{addr("10.1.1.1")} // private: the person's choice
	w.routes["10.1.1.1:3128"] = proxy
	e := allow("a.example", "tls.example", "denied.example", "inside.example", "10.2.2.2")
	e.Proxy = "http://user:hunter2@proxy.corp:3128"
	e.Resolve = map[string]netip.Addr{"inside.example": addr("10.2.2.2")}
	f := start(t, w, e)
	client := f.client(pool)
	for target, want := range map[string]string{
		"http://a.example/x?y":   "proxied",
		"https://tls.example/x":  `GET tls.example /x ""`,
		"http://inside.example/": "which is not globally reachable", // a fixed address is still judged
		"http://10.2.2.2/":       "which is not globally reachable",
		"http://evil.example/":   "not on the allowlist",
	} {
		if got := fetch(t, client, "GET", target, nil).body; !strings.Contains(got, want) {
			t.Errorf("%s: %s", target, got)
		}
	}
	got := say(t, f.proxy, "CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "the upstream proxy answered 407") || strings.Contains(got, "hunter2") {
		t.Errorf("%q", got)
	}
	all := strings.Join(seen, "\n")
	for _, want := range []string{"GET http://a.example/x?y user:hunter2", "CONNECT tls.example:443 user:hunter2"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
	for _, asked := range w.asked {
		if asked != "proxy.corp." {
			t.Errorf("looked up %s, which is the proxy's to resolve", asked)
		}
	}
}
