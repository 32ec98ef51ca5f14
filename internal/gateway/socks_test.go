package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// socksName is a request to CONNECT to a name.
func socksTo(name string, port int) string {
	return "\x05\x01\x00\x03" + string(rune(len(name))) + name + string([]byte{byte(port >> 8), byte(port)})
}

// overSOCKS greets, sends a request, and returns the connection with the
// answer's code.
func (f *fixture) overSOCKS(request string) (net.Conn, byte) {
	f.t.Helper()
	conn := dial(f.t, f.proxy)
	if _, err := io.WriteString(conn, "\x05\x01\x00"+request); err != nil {
		f.t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil {
		f.t.Fatalf("%q: %v after %x", request, err, answer)
	}
	if !bytes.HasPrefix(answer, []byte{5, 0, 5}) || answer[4] != 0 || !bytes.Equal(answer[5:], []byte{1, 0, 0, 0, 0, 0, 0}) {
		f.t.Fatalf("%q: answered %x", request, answer)
	}
	return conn, answer[3]
}

// SOCKS leads to the same decision, the same check of what is inside, and the
// same record as CONNECT.
func TestSOCKS(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	cert, roots := certificate(t, "a.example")
	w.host("a.example", 443, listen(t, func(conn net.Conn) {
		server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		_, _ = io.Copy(server, server)
	}))
	f := start(t, w, allow("a.example", "93.184.216.1"))

	conn, code := f.overSOCKS(socksTo("A.Example.", 80))
	_, _ = io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if got := readResponse(t, bufio.NewReader(conn), http.MethodGet); code != 0 || got.StatusCode != 200 {
		t.Errorf("plain HTTP: code %d, status %d", code, got.StatusCode)
	}

	conn, code = f.overSOCKS(socksTo("a.example", 443))
	client := tls.Client(conn, &tls.Config{ServerName: "a.example", RootCAs: roots})
	_, _ = io.WriteString(client, "hello")
	got := make([]byte, 5)
	if _, err := io.ReadFull(client, got); err != nil || code != 0 || string(got) != "hello" {
		t.Errorf("TLS: code %d, %q, %v", code, got, err)
	}
	client.Close()

	conn, _ = f.overSOCKS(socksTo("a.example", 443))
	if err := tls.Client(conn, &tls.Config{ServerName: "b.example", RootCAs: roots}).HandshakeContext(t.Context()); err == nil {
		t.Error("a server name of another host was let through")
	}
	conn, _ = f.overSOCKS(socksTo("a.example", 80))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n")
	if got := readResponse(t, bufio.NewReader(conn), http.MethodGet); got.StatusCode != 400 {
		t.Errorf("a Host of another name: %d", got.StatusCode)
	}
	if conn, code := f.overSOCKS("\x05\x01\x00\x01\x5d\xb8\xd8\x01\x00\x50"); code != 0 {
		t.Errorf("a listed address: code %d", code)
	} else {
		conn.Close()
	}
	e := f.eventually("the tunnel's end", func(e audit.Event) bool {
		return e.Kind == policy.SOCKS && e.Phase == audit.Close && e.Port == 443 && e.Received > 0
	})
	if e.Host != "a.example" || e.Sent == 0 || e.Rule != "allow a.example (test)" {
		t.Errorf("%+v", e)
	}
}

func TestSOCKSRefusals(t *testing.T) {
	w := newWorld()
	w.host("down.example", 443, "127.0.0.1:1") // nobody listens there
	f := start(t, w, allow("a.example", "down.example", "*.gone.example"))
	for name, tt := range map[string]struct {
		request string
		code    byte
	}{
		"not allowed":        {socksTo("evil.example", 443), 2},
		"port not allowed":   {socksTo("a.example", 22), 2},
		"no port":            {socksTo("a.example", 0), 2},
		"a NUL":              {socksTo("a.example\x00.evil.example", 443), 2},
		"a NUL at the end":   {socksTo("a.example\x00", 443), 2},
		"an empty name":      {socksTo("", 443), 2},
		"a space":            {socksTo("a.example ", 443), 2},
		"a label too long":   {socksTo(strings.Repeat("a", 64)+".a.example", 443), 2},
		"brackets":           {socksTo("[::1]", 443), 2},
		"an address as name": {socksTo("0x7f.1", 443), 2},
		"IPv4":               {"\x05\x01\x00\x01\x7f\x00\x00\x01\x01\xbb", 2},
		"IPv6":               {"\x05\x01\x00\x04" + strings.Repeat("\x00", 15) + "\x01\x01\xbb", 2},
		"refused upstream":   {socksTo("down.example", 443), 5},
		"no such name":       {socksTo("x.gone.example", 443), 4},
		"BIND":               {"\x05\x02\x00\x03\x09a.example\x01\xbb", 7},
		"UDP":                {"\x05\x03\x00\x03\x09a.example\x01\xbb", 7},
		"unknown type":       {"\x05\x01\x00\x02\x09a.example\x01\xbb", 8},
		"reserved byte":      {"\x05\x01\x01\x03\x09a.example\x01\xbb", 1},
		"another version":    {"\x04\x01\x00\x03\x09a.example\x01\xbb", 1},
	} {
		before := len(f.events())
		conn, code := f.overSOCKS(tt.request)
		if code != tt.code {
			t.Errorf("%s: code %d, want %d", name, code, tt.code)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: not closed: %v", name, err)
		}
		if events := f.events(); len(events) == before {
			t.Errorf("%s: nothing is recorded", name)
		} else if e := events[before]; e.Decision == audit.Allowed && e.Phase != audit.Open || e.Kind != policy.SOCKS {
			t.Errorf("%s: %+v", name, e)
		}
		conn.Close()
	}
	if got := w.dials(); slices.ContainsFunc(got, func(a string) bool { return !strings.HasSuffix(a, ":443") }) || len(got) != 1 {
		t.Errorf("dialled %v", got)
	}
}

// Who wants a password is told that there is none; who says half a request is
// told nothing.
func TestSOCKSGreetings(t *testing.T) {
	f := start(t, newWorld(), allow("a.example"))
	for name, tt := range map[string]struct{ raw, want string }{
		"password only": {"\x05\x01\x02", "\x05\xff"},
		"no method":     {"\x05\x00", ""},
		"half":          {"\x05\x02\x00", ""},
		"half a name":   {"\x05\x01\x00\x05\x01\x00\x03\x20a.example\x01\xbb", "\x05\x00"},
		"SOCKS4":        {"\x04\x01\x01\xbb\x00\x00\x00\x01\x00a.example\x00", ""},
	} {
		if got := say(t, f.proxy, tt.raw); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x05\x01\x00" + socksTo("a.example", 443)))
	f.Add([]byte("\x05\x02\x00\x02" + "\x05\x01\x00\x01\x7f\x00\x00\x01\x01\xbb"))
	f.Add([]byte("\x05\x01\x00\x05\x03\x00\x04" + strings.Repeat("\x20", 18)))
	f.Add([]byte("\x05\x01\x00" + socksTo("a\x00b", 443)))
	f.Fuzz(func(t *testing.T, data []byte) {
		br := bufio.NewReaderSize(bytes.NewReader(data), readerSize)
		if _, err := readGreeting(br); err != nil {
			return
		}
		asked, code, err := readSOCKS(br)
		if err != nil || code != socksSucceeded {
			return
		}
		to, refused := asked.authority()
		if refused != nil {
			return
		}
		if to.port < 1 || to.port > 65535 || to.host == "" || strings.ContainsAny(to.host, "\x00[] /@") {
			t.Fatalf("%x leads to %+v", data, to)
		}
		if again, err := socksRequest(to).authority(); err != nil || again != to {
			t.Fatalf("%x: %+v, again %+v, %v", data, to, again, err)
		}
	})
}
