package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
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

// carriedBy opens a connection to bad.example whose TLS is carried as it is, in
// one of the ways in. refused is what the gateway said in place of it.
func (f *fixture) carriedBy(kind policy.Kind) (conn net.Conn, refused string) {
	f.t.Helper()
	switch kind {
	case policy.Connect:
		conn = dial(f.t, f.proxy)
		_, _ = io.WriteString(conn, "CONNECT bad.example:443 HTTP/1.1\r\nHost: bad.example:443\r\n\r\n")
		br := bufio.NewReader(conn)
		answer, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
		if err != nil {
			f.t.Fatal(err)
		}
		if answer.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			return conn, fmt.Sprintf("%d %s", answer.StatusCode, body)
		}
	case policy.SOCKS:
		var code byte
		if conn, code = f.overSOCKS(socksTo("bad.example", 443)); code != 0 {
			return conn, fmt.Sprintf("code %d", code)
		}
	default:
		conn = dial(f.t, f.tls)
	}
	return conn, ""
}

// TestBadOriginsCarried: where TLS is carried as it is, what is wrong with an
// origin's certificate is its client's to see, and what is wrong with its
// connection ends the client's, is in the record, and disturbs nobody else.
func TestBadOriginsCarried(t *testing.T) {
	n := newNotary(t)
	presents := func(cert tls.Certificate) func(net.Conn) {
		return func(conn net.Conn) {
			server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
			_, _ = io.Copy(io.Discard, server)
		}
	}
	said := map[policy.Kind]string{policy.Connect: "502 ", policy.SOCKS: "code 5", policy.TLS: "internal error"}
	late := map[policy.Kind]string{policy.Connect: "504 ", policy.SOCKS: "code 6", policy.TLS: "internal error"}
	for name, origin := range map[string]struct {
		serve func(net.Conn)
		route string // in place of serve
		// client is what the client meets: of the gateway's by kind, else of its
		// own TLS. reason is the record's; an ordinary end has none.
		said           map[policy.Kind]string
		client, reason string
	}{
		"is down":       {said: said, reason: "connecting to bad.example port 443: connection refused"},
		"never answers": {route: nowhere, said: late, reason: "connecting to bad.example port 443: no answer in time"},
		"falls silent":  {serve: silence, client: "EOF", reason: "nothing moved in either direction for 500ms"},
		"hangs up":      {serve: func(net.Conn) {}, client: "EOF"},
		"resets":        {serve: func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)); reset(conn) }, client: "E"},
		"is no TLS":     {serve: func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-x\r\n"); silence(conn) }, client: "does not look like a TLS handshake"},
		"expired":       {serve: presents(n.sign("bad.example", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), client: "expired"},
		"other name":    {serve: presents(n.sign("other.example")), client: "not bad.example"},
		"unknown root":  {serve: presents(newNotary(t).sign("bad.example")), client: "unknown authority"},
		"wrong usage": {serve: presents(n.sign("bad.example", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})), client: "incompatible key usage"},
	} {
		for _, kind := range []policy.Kind{policy.Connect, policy.SOCKS, policy.TLS} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				w := newWorld()
				w.host("a.example", 80, originServer(t, echo))
				w.host("bad.example", 443, origin.route)
				if origin.serve != nil {
					w.host("bad.example", 443, listen(t, origin.serve))
				}
				f := start(t, w, allow("a.example", "bad.example"), func(s *server) {
					s.limits.idle, s.limits.dial = 500*time.Millisecond, 300*time.Millisecond
				})
				conn, met := f.carriedBy(kind)
				if met == "" {
					client := tls.Client(conn, &tls.Config{ServerName: "bad.example", RootCAs: n.pool()})
					err := client.HandshakeContext(t.Context())
					if err == nil {
						t.Fatal("it worked")
					}
					met = err.Error()
				}
				conn.Close()
				if want := origin.client + origin.said[kind]; !strings.Contains(met, want) {
					t.Errorf("the client met %q, want %q", met, want)
				}
				e := f.eventually("the end's record", func(e audit.Event) bool { return e.Host == "bad.example" && e.Phase == audit.Close })
				failed := e.Decision == audit.Failed && e.Rule == ruleUpstream
				if failed != (origin.reason != "") || failed && e.Reason != origin.reason || e.Kind != kind {
					t.Errorf("recorded: %+v, want %q", e, origin.reason)
				}
				if got := fetch(t, f.client(nil), http.MethodGet, "http://a.example/", nil); got.StatusCode != http.StatusOK {
					t.Errorf("another client: %d %q", got.StatusCode, got.body)
				}
			})
		}
	}
}

// An origin that answers without end costs what is under way, and is told when
// its client has had enough; inside TLS that is opened, and around it.
func TestOriginAnswersForever(t *testing.T) {
	for _, inspect := range []string{policy.InspectAlways, policy.InspectNever} {
		for _, version := range versions {
			t.Run(strings.ReplaceAll(inspect+" "+version, "/", ""), func(t *testing.T) {
				w := newWorld()
				e := allow("a.example")
				e.Inspect = inspect
				f := inspectWorld(t, w, e)
				f.roots.AddCert(f.notary.cert)
				told := make(chan error, 1)
				f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/" {
						return
					}
					_, err := io.Copy(w, zeros{})
					told <- err
				})
				var peak uint64
				stop := watchHeap(&peak)
				ctx, cancel := context.WithCancel(t.Context())
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://a.example/forever", nil)
				if err != nil {
					t.Fatal(err)
				}
				client := f.speak(version)
				answer, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.CopyN(io.Discard, answer.Body, 40<<20); err != nil {
					t.Error(err)
				}
				f.others()
				cancel()
				answer.Body.Close()
				select {
				case err := <-told:
					if err == nil || errors.Is(err, io.EOF) {
						t.Errorf("endless bytes ended: %v", err)
					}
				case <-time.After(10 * time.Second):
					t.Error("the origin still sends")
				}
				if stop(); peak > 32<<20 {
					t.Errorf("%d MiB", peak>>20)
				}
				client.CloseIdleConnections() // HTTP/2's outlives the request
				f.eventually("the end", func(e audit.Event) bool { return e.Phase == audit.Close && e.Received >= 40<<20 })
			})
		}
	}
}
