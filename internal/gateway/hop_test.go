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

	"claude-bottle/internal/policy"
)

// A request may not have stripped on this hop what somebody decides by; what is
// for a hop, and what nobody here knows, it may.
func TestConnectionNames(t *testing.T) {
	w := newWorld()
	origin, got := recorder(t)
	w.host("a.example", 80, origin)
	f := start(t, w, allow("a.example"))
	const line = "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX-Other: y\r\nContent-Length: 1\r\n"
	for _, name := range append([]string{"authorization", "X-Api-Key", "x-amz-security-token", "Private-Token"}, decisive...) {
		for _, list := range []string{name, "close, " + strings.ToUpper(name), "keep-alive ,\t" + name + "\t", "close\r\nConnection: " + name} {
			said := say(t, f.proxy, line+"Connection: "+list+"\r\n\r\nx")
			if !strings.HasPrefix(said, "HTTP/1.1 400 ") || !strings.Contains(said, "Connection field") {
				t.Errorf("%s: %q", list, said)
			}
		}
	}
	if dialled := w.dials(); len(dialled) != 0 {
		t.Errorf("dialled %v", dialled)
	}
	for _, list := range []string{"close, X-Other", "close, TE", "close, Proxy-Authorization", "close, keep-alive, Proxy-Connection"} {
		if said := say(t, f.proxy, line+"Connection: "+list+"\r\n\r\nx"); !strings.HasPrefix(said, "HTTP/1.1 200 ") {
			t.Errorf("%s: %q", list, said)
		}
		if sent := got(); strings.Contains(sent, "X-Other") == strings.Contains(list, "X-Other") || strings.Contains(sent, "onnection") {
			t.Errorf("%s: the origin was sent %q", list, sent)
		}
	}
}

// An origin that has the coding of its answer, or what frames it, taken off on
// the way has the value looked for all the same: what is read is what was sent.
func TestCodingNamedByConnection(t *testing.T) {
	w := newWorld()
	s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}})
	f := brokerWorld(t, w, policy.Egress{}, s)
	echo := "it was Bearer " + s.Value + ", and that was that"
	clean := strings.ReplaceAll(echo, s.Value, s.Placeholder)
	sized := func(head, body string) string {
		return fmt.Sprintf("%s\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
	}
	for what, test := range map[string]struct {
		answer, want string // without want it is none that can be looked into
		trailer      bool
	}{
		"no coding":              {answer: sized("Connection: Content-Encoding", echo), want: clean},
		"identity":               {answer: sized("Connection: content-encoding\r\nContent-Encoding: identity", echo), want: clean},
		"gzip":                   {answer: sized("Connection: Content-Encoding\r\nContent-Encoding: gzip", zipped(t, "gzip", echo)), want: clean},
		"gzip in another case":   {answer: sized("content-encoding: GZIP\r\nconnection: x , CONTENT-ENCODING", zipped(t, "gzip", echo)), want: clean},
		"deflate, and its name":  {answer: sized("Connection: keep-alive\r\nConnection: Content-Encoding\r\nContent-Encoding: deflate", zipped(t, "deflate", echo)), want: clean},
		"a coding nobody knows":  {answer: sized("Connection: Content-Encoding\r\nContent-Encoding: br", echo)},
		"two codings":            {answer: sized("Connection: Content-Encoding\r\nContent-Encoding: gzip\r\nContent-Encoding: identity", zipped(t, "gzip", echo))},
		"messages one by one":    {answer: sized("Connection: Grpc-Encoding\r\nGrpc-Encoding: gzip", echo)},
		"the same, not named":    {answer: sized("Grpc-Encoding: gzip", echo)},
		"its length":             {answer: sized("Connection: Content-Length", echo), want: clean},
		"its chunks":             {answer: fmt.Sprintf("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(echo), echo), want: clean},
		"its trailers":           {answer: fmt.Sprintf("Connection: Trailer\r\nTrailer: X-Said\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Said: %s\r\n\r\n", s.Value), want: "ok", trailer: true},
		"the field that says it": {answer: sized("Connection: X-Said\r\nX-Said: "+s.Value, "ok"), want: "ok"},
	} {
		t.Run(what, func(t *testing.T) {
			f.answersOnce(t, w, "api.example", "HTTP/1.1 200 OK\r\n"+test.answer)
			for _, version := range []string{protoHTTP1, protoHTTP2} {
				got := fetch(t, f.speak(version), "GET", "https://api.example/", nil, bearer(s.Placeholder))
				said := fmt.Sprint(got.Header, got.Trailer, got.body)
				switch {
				case strings.Contains(said, s.Value[8:24]):
					t.Errorf("%s: it was told %s", version, said)
				case test.want == "" && got.StatusCode != http.StatusBadGateway, test.want != "" && got.body != test.want:
					t.Errorf("%s: %d %q", version, got.StatusCode, got.body)
				case test.trailer && got.Trailer.Get("X-Said") != s.Placeholder:
					t.Errorf("%s: the trailers are %v", version, got.Trailer)
				}
			}
		})
	}
}

// answersOnce has an origin of HTTP/1.1 give one answer on each connection, as
// it is written here.
func (b *brokered) answersOnce(t *testing.T, w *world, host, answer string) {
	t.Helper()
	cert := b.notary.sign(host)
	w.host(host, 443, listen(t, func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protoHTTP1}})
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(conn, answer)
			_ = conn.CloseWrite()
		}
	}))
}
