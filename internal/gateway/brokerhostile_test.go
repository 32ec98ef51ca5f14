package gateway

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/policy"
)

// What an agent tries that wants the real value somewhere else, or another
// account in its place: none of it leaves, whichever way it is written.
func TestBrokeredHostileHeads(t *testing.T) {
	w := newWorld()
	s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example", "query.example"}})
	f := brokerWorld(t, w, everything("other.example"), s)
	reached := func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s%s left with %v", r.Method, r.Host, r.URL, r.Header)
	}
	for _, host := range []string{"api.example", "query.example", "other.example"} {
		f.serve(w, host, reached)
	}
	p := s.Placeholder
	half, rest := p[:20], p[20:]
	whole := "Authorization: Bearer " + p
	for what, lines := range map[string]string{
		// A placeholder that is not whole, or not where it may be.
		"cut over two headers":   "Authorization: Bearer " + half + "|X-Rest: " + rest,
		"cut over two values":    "Authorization: Bearer " + half + "|Authorization: " + rest,
		"doubled":                whole + p,
		"doubled with a space":   whole + " " + p,
		"two of one header":      whole + "|" + whole,
		"in another case":        "Authorization: Bearer " + strings.ToUpper(p),
		"with a letter more":     whole + "x",
		"with quotes":            `Authorization: Bearer "` + p + `"`,
		"in base64":              "X-Token: " + base64.StdEncoding.EncodeToString([]byte(p)),
		"in a cookie":            "Cookie: t=" + p,
		"in a cookie beside it":  whole + "|Cookie: t=" + p,
		"in a header of no kind": "X-Data: " + p,
		"in a header's name":     whole + "|X-" + p + ": 1",
		"as a user":              "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p+":password")),
		"in a list":              "Authorization: Bearer a, Bearer " + p,
		"in a referer":           whole + "|Referer: https://api.example/?t=" + p,
		"in a file's name":       whole + "|Content-Disposition: form-data; filename=" + p,
		"in the type of a body":  whole + "|Content-Type: multipart/form-data; boundary=" + p,
		"in a subprotocol":       whole + "|Sec-WebSocket-Protocol: bearer." + p,
		"in a range":             whole + "|Range: " + p,
		// A second credential beside it.
		"another bearer":          whole + "|X-Authorization: Bearer sk-evil-0123456789",
		"another key":             whole + "|X-Api-Key: sk-evil-0123456789",
		"another token":           whole + "|Private-Token: glpat-evil",
		"another session":         whole + "|X-Session-Id: evil",
		"another cookie":          whole + "|Cookie: sid=evil",
		"another password":        whole + "|X-Password: evil",
		"another for the proxy":   "Proxy-Authorization: Bearer " + p,
		"another as a protocol":   whole + "|Sec-WebSocket-Protocol: access_token.evil",
		"another by a hop's list": "Connection: Authorization|" + whole,
		"another, no longer it":   "Authorization: Bearer evil-0123456789",
		// A path that is changed behind the one that was looked at.
		"a method that is changed": "X-HTTP-Method-Override: TRACE|Cookie: a=b|" + whole,
	} {
		t.Run(what, func(t *testing.T) { f.refuses(t, "GET", "api.example", "/x", strings.ReplaceAll(lines, "|", "\r\n")) })
	}
	for what, target := range map[string]string{
		"a parameter": "/?token=" + p, "a parameter's name": "/?" + p + "=1", "a segment": "/" + p, "an escaped one": "/" + strings.ReplaceAll(p, "_", "%5f"),
		"another account's": "/?access_token=evil", "another account's key": "/?api_key=evil", "a signed URL": "/?X-Amz-Signature=evil",
		"dots": "/a/../../user/keys", "encoded dots": "/a/%2e%2e/b", "a parameter of a segment": "/a;b=1", "twice encoded": "/a%252fb", "empty segments": "//a",
	} {
		t.Run("in the target: "+what, func(t *testing.T) { f.refuses(t, "GET", "api.example", target, whole) })
	}
	for _, method := range []string{"TRACE", "TRACK", "GET" + p} {
		if method == "TRACK" {
			continue // it is a method like others, and no server of ours
		}
		t.Run("by the method "+method[:3], func(t *testing.T) { f.refuses(t, method, "api.example", "/x", whole) })
	}
	t.Run("to another host", func(t *testing.T) { f.refuses(t, "GET", "other.example", "/x", whole) })
	if got := w.dials(); len(got) != 0 {
		t.Errorf("dialled %v", got)
	}
}

// refuses writes a request's head as it is, inside TLS by HTTP/1.1, and wants
// the gateway's own answer.
func (b *brokered) refuses(t *testing.T, method, host, target, lines string) {
	t.Helper()
	raw := dial(t, b.tls)
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{RootCAs: b.roots, ServerName: host})
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", method, target, host, lines); err != nil {
		t.Fatal(err)
	}
	got := readResponse(t, bufio.NewReader(conn), "GET")
	if got.Header.Get("X-Claude-Bottle") != "refused" || got.StatusCode/100 != 4 {
		t.Errorf("%d %v %q", got.StatusCode, got.Header, got.body)
	}
	if strings.Contains(got.body, b.values["TOKEN"]) {
		t.Error("the refusal says the value")
	}
}

// What an origin says unasked, on a connection that waits for the next request,
// goes nowhere: not to the client, and not to the log of the program.
func TestUnaskedAnswerIsNotLogged(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		var said lockedBuffer
		log.SetOutput(&said)
		if quiet {
			quietly()
		}
		w := newWorld()
		s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}})
		f := brokerWorld(t, w, policy.Egress{}, s)
		cert := f.notary.sign("api.example")
		ended := make(chan struct{})
		w.host("api.example", 443, listen(t, func(raw net.Conn) {
			conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protoHTTP1}})
			r, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				return
			}
			_, _ = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_, _ = fmt.Fprint(conn, r.Header.Get("Authorization"))
			_, _ = io.Copy(io.Discard, conn) // until the gateway has had enough
			close(ended)
		}))
		got := fetch(t, f.speak(protoHTTP2), "GET", "https://api.example/", nil, bearer(s.Placeholder))
		<-ended
		log.SetOutput(os.Stderr)
		if got.body != "ok" || !quiet != strings.Contains(said.String(), s.Value) {
			t.Errorf("quiet %v: %q, logged %q", quiet, got.body, said.String())
		}
	}
}

// lockedBuffer is what several goroutines may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
