package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

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
		"http://10.2.2.2/":       "10.2.2.2 is not globally reachable",
		"http://evil.example/":   "not on the allowlist",
	} {
		if got := fetch(t, client, "GET", target, nil).body; !strings.Contains(got, want) {
			t.Errorf("%s: %s", target, got)
		}
	}
	say(t, f.proxy, "OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n")
	got := say(t, f.proxy, "CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "the upstream proxy answered 407") || strings.Contains(got, "hunter2") {
		t.Errorf("%q", got)
	}
	all := strings.Join(seen, "\n")
	for _, want := range []string{"GET http://a.example/x?y user:hunter2", "CONNECT tls.example:443 user:hunter2", "OPTIONS http://a.example user:hunter2"} {
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
