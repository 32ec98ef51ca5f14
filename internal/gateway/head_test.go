package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/policy"
)

// FuzzRequestHead holds that what is let through means the same to net/http,
// an independent parser: method, target, Host and framing.
func FuzzRequestHead(f *testing.F) {
	for _, s := range []string{
		"GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"GET http://a.example@b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
		"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, w := range []way{{proxy: true}, {to: authority{port: 80}}, {to: authority{"a.example", 80}}} {
			checkHead(t, w, data)
		}
	})
}

func checkHead(t *testing.T, w way, data []byte) {
	t.Helper()
	block, err := readHead(bufio.NewReaderSize(bytes.NewReader(data), 16), nil)
	if err != nil {
		return
	}
	r, err := parseRequest(block)
	if err != nil || r.method == "CONNECT" {
		return
	}
	to, path, refused := w.aim(r)
	body, err := r.body()
	if refused != nil || err != nil || r.sane() != nil {
		return
	}
	if !bytes.HasPrefix(data, []byte(block+"\r\n")) {
		t.Fatalf("the head is not what was sent: %q", block)
	}
	out := (&transfer{request: r, use: mediated{path: path}, to: to, body: body, up: &upstream{}}).outgoing()
	sent, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
	if err != nil {
		if strings.ContainsAny(path, "%[]|") || r.method != strings.ToUpper(r.method) || !isASCIIText(path) {
			return // net/url takes fewer paths than servers do
		}
		t.Fatalf("%q: upstream is sent %q, which net/http refuses: %v", data, out, err)
	}
	if sent.Host != to.text(80) || sent.Method != r.method || sent.RequestURI != path {
		t.Fatalf("%q: decided %v %s, but upstream reads %s %s %s", data, to, path, sent.Method, sent.Host, sent.RequestURI)
	}
	if (sent.ContentLength == -1) != body.chunked || !body.chunked && sent.ContentLength != body.length {
		t.Fatalf("%q: framed as %+v, but upstream reads %d", data, body, sent.ContentLength)
	}
	if n := bytes.Count(out, []byte("\r\n\r\n")); n != 1 || bytes.Contains(bytes.ReplaceAll(out, []byte("\r\n"), nil), []byte("\n")) {
		t.Fatalf("%q: upstream is sent %q", data, out)
	}
	if host, err := policy.Normalise(to.host); err != nil || host != to.host {
		t.Fatalf("%q: decided about %q", data, to.host)
	}
}

func isASCIIText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// FuzzResponseHead holds the same for what comes back.
func FuzzResponseHead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.0 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
		"HTTP/1.1 204 \r\nConnection: close, X\r\nX: y\r\n\r\n",
	} {
		f.Add([]byte(s), "GET")
	}
	f.Fuzz(func(t *testing.T, data []byte, method string) {
		block, err := readHead(bufio.NewReaderSize(bytes.NewReader(data), 16), nil)
		if err != nil {
			return
		}
		r, err := parseResponse(block)
		if err != nil || r.status < 200 {
			return
		}
		down, err := r.body(method)
		if err != nil {
			return
		}
		tr := &transfer{request: request{method: method, minor: 1}}
		out := tr.incoming(r, down, true)
		got, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q: the client is sent %q: %v", data, out, err)
		}
		defer got.Body.Close()
		chunked := len(got.TransferEncoding) > 0
		if got.StatusCode != r.status || method != "HEAD" && chunked != down.chunked {
			t.Fatalf("%q: %+v, but the client reads %d %v", data, down, got.StatusCode, got.TransferEncoding)
		}
	})
}

// FuzzChunks holds that a chunked body that is let through is the one that
// net/http reads from the same bytes, and that ours read alike.
func FuzzChunks(f *testing.F) {
	for _, s := range []string{
		"3\r\nabc\r\n0\r\n\r\n", "3;x=y\r\nabc\r\n02\r\nde\r\n0\r\nX: y\r\n\r\n", "0\r\n\r\nmore", "3\nabc\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dst := &sink{}
		c := &carrier{dst: dst, src: bufio.NewReaderSize(bytes.NewReader(data), readerSize), conn: &scripted{}, idle: time.Hour}
		if c.chunks(true) != nil {
			return
		}
		rest, _ := io.ReadAll(c.src)
		consumed := data[:len(data)-len(rest)]
		want, err1 := unchunk(consumed)
		got, err2 := unchunk(dst.Bytes())
		if err1 != nil || err2 != nil || !bytes.Equal(want, got) {
			t.Fatalf("%q: net/http reads %q (%v), of what goes on %q (%v)", consumed, want, err1, got, err2)
		}
	})
}

func unchunk(b []byte) ([]byte, error) {
	head := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), bytes.NewReader(b))))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r.Body)
}

// sink is a connection that keeps what it hears.
type sink struct {
	bytes.Buffer
	scripted
}

func (s *sink) Write(b []byte) (int, error) { return s.Buffer.Write(b) }
func (s *sink) Read([]byte) (int, error)    { return 0, io.EOF }

var _ net.Conn = (*sink)(nil)

func TestReadHeadLeavesTheBody(t *testing.T) {
	br := bufio.NewReaderSize(strings.NewReader("GET / HTTP/1.1\r\nA: b\r\n\r\nbody"), 16)
	block, err := readHead(br, nil)
	rest, _ := io.ReadAll(br)
	if err != nil || block != "GET / HTTP/1.1\r\nA: b\r\n" || string(rest) != "body" {
		t.Errorf("%q %q %v", block, rest, err)
	}
	for in, want := range map[string]error{
		"": io.EOF, "GET": io.ErrUnexpectedEOF, "GET / HTTP/1.1\r\n": io.ErrUnexpectedEOF, "GET / HTTP/1.1\n\n": errLineEnd, "\r\n": errEmptyLine,
		strings.Repeat("x", maxHead+1): errHeadSize,
	} {
		if _, err := readHead(bufio.NewReader(strings.NewReader(in)), func() bool { return true }); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", in, err, want)
		}
	}
}
