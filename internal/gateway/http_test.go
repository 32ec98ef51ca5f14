package gateway

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
)

func originServer(t testing.TB, h http.HandlerFunc) string {
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

// TestAnswerKind: who takes anything and sends JSON reads an answer of JSON.
func TestAnswerKind(t *testing.T) {
	f := start(t, newWorld(), allow("a.example"))
	for sent, want := range map[string]string{"application/json": "application/json", "text/x": "text/plain; charset=utf-8", "": "text/plain; charset=utf-8"} {
		for accept, wins := range map[string]bool{"*/*": false, "": false, "text/html": true} {
			got := fetch(t, f.client(nil), "PUT", "http://evil.example/x", nil, func(r *http.Request) {
				r.Header["Content-Type"], r.Header["Accept"] = []string{sent}, []string{accept}
			})
			want := want
			if wins {
				want = "text/plain; charset=utf-8"
			}
			if kind := got.Header.Get("Content-Type"); kind != want {
				t.Errorf("sent %q, accepts %q: %s, want %s", sent, accept, kind, want)
			}
		}
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
