package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
)

// recorder is an origin that keeps what it is sent and answers 200 to each
// request that net/http finds in it.
func recorder(t *testing.T) (address string, got func() string) {
	t.Helper()
	received := make(chan string, 100)
	address = listen(t, func(conn net.Conn) {
		var raw strings.Builder
		br := bufio.NewReader(io.TeeReader(conn, &raw))
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				break
			}
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		received <- raw.String()
	})
	return address, func() string {
		select {
		case s := <-received:
			return s
		case <-time.After(5 * time.Second):
			t.Error("the origin was sent nothing")
			return ""
		}
	}
}

// Messages that two parsers could read differently never go on.
func TestSmuggling(t *testing.T) {
	w := newWorld()
	origin := listen(t, func(conn net.Conn) {
		b, _ := io.ReadAll(conn)
		if strings.Contains(string(b), "smuggled") {
			t.Errorf("the origin was sent %q", b)
		}
	})
	w.host("a.example", 80, origin)
	f := start(t, w, allow("a.example"))
	const line = "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n"
	const tail = "\r\nsmuggled"
	for name, raw := range map[string]string{
		"two lengths":                   line + "Content-Length: 8\r\nContent-Length: 0\r\n" + tail,
		"two equal lengths":             line + "Content-Length: 8\r\nContent-Length: 8\r\n" + tail,
		"a list of lengths":             line + "Content-Length: 8, 8\r\n" + tail,
		"length and encoding":           line + "Content-Length: 8\r\nTransfer-Encoding: chunked\r\n" + tail,
		"encoding and length":           line + "Transfer-Encoding: chunked\r\nContent-Length: 8\r\n" + tail,
		"two encodings":                 line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + tail,
		"a list of encodings":           line + "Transfer-Encoding: gzip, chunked\r\n" + tail,
		"unknown encoding":              line + "Transfer-Encoding: xchunked\r\n" + tail,
		"encoding with a tab":           line + "Transfer-Encoding: \x0bchunked\r\n" + tail,
		"encoding in 1.0":               "POST http://a.example/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + tail,
		"signed length":                 line + "Content-Length: +8\r\n" + tail,
		"hexadecimal length":            line + "Content-Length: 0x8\r\n" + tail,
		"empty length":                  line + "Content-Length: \r\n" + tail,
		"huge length":                   line + "Content-Length: 99999999999999999999\r\n" + tail,
		"underscore length":             line + "Content-Length: 1_0\r\n" + tail,
		"bare LF after a field":         line + "X: y\n" + tail,
		"bare LF at the end":            line + "\n" + tail,
		"bare CR in a value":            line + "X: y\rContent-Length: 8\r\n" + tail,
		"folded field":                  line + "X: y\r\n z\r\n" + tail,
		"folded first field":            "POST http://a.example/ HTTP/1.1\r\n Host: a.example\r\n" + tail,
		"space before the colon":        line + "Content-Length : 8\r\n" + tail,
		"no colon":                      line + "X\r\n" + tail,
		"empty name":                    line + ": y\r\n" + tail,
		"NUL in a value":                line + "X: a\x00b\r\n" + tail,
		"NUL in a name":                 line + "X\x00: b\r\n" + tail,
		"DEL in a value":                line + "X: a\x7fb\r\n" + tail,
		"empty line first":              "\r\n" + line + tail,
		"two spaces":                    "POST  http://a.example/ HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"space in the target":           "POST http://a.example/a b HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"tab in the target":             "POST http://a.example/a\tb HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"fragment":                      "POST http://a.example/#x HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"leading space":                 " POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"bad method":                    "PO(ST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"HTTP/0.9":                      "GET http://a.example/\r\n" + tail,
		"HTTP/1.2":                      "POST http://a.example/ HTTP/1.2\r\nHost: a.example\r\n" + tail,
		"HTTP/2 preface":                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"two hosts":                     line + "Host: b.example\r\n" + tail,
		"two equal hosts":               line + "Host: a.example\r\n" + tail,
		"no host":                       "POST http://a.example/ HTTP/1.1\r\n" + tail,
		"other host":                    "POST http://a.example/ HTTP/1.1\r\nHost: b.example\r\n" + tail,
		"host with another port":        "POST http://a.example/ HTTP/1.1\r\nHost: a.example:81\r\n" + tail,
		"host with userinfo":            "POST http://a.example/ HTTP/1.1\r\nHost: x@a.example\r\n" + tail,
		"userinfo":                      "POST http://x:y@a.example/ HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"userinfo that looks like host": "POST http://a.example@evil.example/ HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"backslash":                     "POST http://a.example\\@evil.example/ HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"https in absolute form":        "POST https://a.example/ HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"origin form to a proxy":        "POST / HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"Connection takes Host away":    line + "Connection: host\r\n" + tail,
		"Connection takes the length":   line + "Connection: close, Content-Length\r\n" + tail,
		"upgrade to h2c":                line + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n" + tail,
		"unknown expectation":           line + "Expect: 200-maybe\r\n" + tail,
		"CONNECT with a body":           "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nContent-Length: 8\r\n" + tail,
		"CONNECT without port":          "CONNECT a.example HTTP/1.1\r\nHost: a.example\r\n" + tail,
		"CONNECT another host":          "CONNECT a.example:443 HTTP/1.1\r\nHost: b.example:443\r\n" + tail,
		"too many fields":               line + strings.Repeat("X: y\r\n", maxFields) + tail,
	} {
		got := say(t, f.proxy, raw)
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "Connection: close") || strings.Count(got, "X-Claude-Bottle: refused\r\n") != 1 {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := w.dials(); len(got) != 0 {
		t.Errorf("dialled %v", got)
	}
	f.eventually("a record of it", func(e audit.Event) bool {
		return e.Decision == audit.Denied && e.Rule == "syntax" && e.Reason == errTwoLengths.Error()
	})
}

// A chunked body is read strictly, and a part of one never passes for a whole.
func TestBadChunks(t *testing.T) {
	w := newWorld()
	whole := make(chan bool, 1)
	w.host("a.example", 80, listen(t, func(conn net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			whole <- false
			return
		}
		_, err = io.Copy(io.Discard, r.Body)
		whole <- err == nil
	}))
	f := start(t, w, allow("a.example"))
	const head = "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, body := range map[string]string{
		"no size":                 "\r\nabc\r\n0\r\n\r\n",
		"negative size":           "-1\r\nabc\r\n0\r\n\r\n",
		"prefixed size":           "0x3\r\nabc\r\n0\r\n\r\n",
		"space before size":       " 3\r\nabc\r\n0\r\n\r\n",
		"huge size":               "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
		"bare LF after size":      "3\nabc\r\n0\r\n\r\n",
		"bare LF in an extension": "3;a=b\nX\r\nabc\r\n0\r\n\r\n",
		"CR in an extension":      "3;a=\rb\r\nabc\r\n0\r\n\r\n",
		"long extension":          "3;" + strings.Repeat("a", maxChunkExt) + "\r\nabc\r\n0\r\n\r\n",
		"chunk too long":          "3\r\nabcd\r\n0\r\n\r\n",
		"chunk without end":       "3\r\nabc0\r\n\r\n",
		"trailer that frames":     "0\r\nContent-Length: 3\r\n\r\n",
		"trailer with Host":       "0\r\nHost: b.example\r\n\r\n",
		"folded trailer":          "0\r\nX: a\r\n b\r\n\r\n",
		"trailer with bare LF":    "0\r\nX: a\n\r\n",
	} {
		got := say(t, f.proxy, head+body)
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("%s: %q", name, got)
		}
		if <-whole {
			t.Errorf("%s: the origin took it for whole", name)
		}
	}
	if got := say(t, f.proxy, head+"3\r\nabc\r\n"); strings.HasPrefix(got, "HTTP/1.1 2") {
		t.Errorf("torn: %q", got)
	}
	if <-whole {
		t.Error("torn: the origin took it for whole")
	}
}

// What is for this hop stays here; chunks and their extensions are cut anew.
func TestHopByHop(t *testing.T) {
	w := newWorld()
	origin, got := recorder(t)
	w.host("a.example", 80, origin)
	f := start(t, w, allow("a.example"))
	say(t, f.proxy, "POST http://A.example./p?q=1 HTTP/1.1\r\nHost: a.EXAMPLE:80\r\nProxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n"+
		"Connection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers, deflate\r\nUpgrade: foo\r\nX-Yours: 2\r\nX-Yours: 3\r\n"+
		"Transfer-Encoding: Chunked\r\n\r\n3;ext=1\r\n###\r\n02\r\n##\r\n0\r\nX-Sum: 5\r\n\r\n")
	want := "POST /p?q=1 HTTP/1.1\r\nHost: a.example\r\nX-Yours: 2\r\nX-Yours: 3\r\nTE: trailers\r\nConnection: TE\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n3\r\n###\r\n2\r\n##\r\n0\r\nX-Sum: 5\r\n\r\n"
	if got := got(); got != want {
		t.Errorf("the origin was sent\n%q\nwant\n%q", got, want)
	}
}

// An upstream that breaks the protocol becomes a 502, not the client's
// problem.
func TestBadResponses(t *testing.T) {
	for name, raw := range map[string]string{
		"two lengths":         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
		"length and encoding": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"unknown encoding":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"bare LF":             "HTTP/1.1 200 OK\r\nX: y\nZ: w\r\n\r\n",
		"folded":              "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
		"not HTTP":            "SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/2":              "HTTP/2 200 OK\r\n\r\n",
		"odd status":          "HTTP/1.1 20 OK\r\n\r\n",
		"status 999":          "HTTP/1.1 999 OK\r\n\r\n",
		"nothing":             "",
		"half a head":         "HTTP/1.1 200 OK\r\nX: y\r\n",
		"switch unasked":      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
		"endless interim":     strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim+1),
		"head too long":       "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", maxHead) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.host("a.example", 80, listen(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, raw)
				}
			}))
			f := start(t, w, allow("a.example"))
			conn := dial(t, f.proxy)
			_, _ = io.WriteString(conn, "GET http://a.example/ HTTP/1.0\r\n\r\n")
			got := readResponse(t, bufio.NewReader(conn), "GET")
			if got.StatusCode != 502 || got.Header.Get("X-Claude-Bottle") != "failed" || !strings.Contains(got.body, "upstream") {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
			e := f.eventually("the close line", func(e audit.Event) bool { return e.Phase == audit.Close })
			if e.Decision != audit.Failed || e.Rule != ruleUpstream {
				t.Errorf("%+v", e)
			}
		})
	}
}
