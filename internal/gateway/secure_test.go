package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

func (n *notary) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(n.cert)
	return pool
}

// An origin is verified in full, and the client is told what is wrong.
func TestUpstreamCertificates(t *testing.T) {
	w := newWorld()
	n := newNotary(t)
	constrained := newNotary(t, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical = true
		c.PermittedDNSDomains = []string{"other.example"}
	})
	extra := newNotary(t)
	old := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	young := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }
	client := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	nameless := func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "nameless.example" }
	for _, origin := range []struct {
		name string
		cert tls.Certificate
		want string // of the refusal; empty for none
	}{
		{"fine.example", n.sign("fine.example"), ""},
		{"extra.example", extra.sign("extra.example"), ""},
		{"old.example", n.sign("old.example", old), "the certificate of old.example has expired or is not valid yet"},
		{"young.example", n.sign("young.example", young), "the certificate of young.example has expired or is not valid yet"},
		{"name.example", n.sign("fine.example"), "the certificate of name.example is for another name"},
		{"nameless.example", n.sign("", nameless), "the certificate of nameless.example is for another name"},
		{"unknown.example", newNotary(t).sign("unknown.example"), "the certificate of unknown.example is signed by nobody who is trusted here"},
		{"usage.example", n.sign("usage.example", client), "the certificate of usage.example is not for servers"},
		{"constrained.example", constrained.sign("constrained.example"), "the certificate of constrained.example is for a name that its authority may not sign for"},
	} {
		w.host(origin.name, 443, secureOrigin(t, origin.cert, echo))
		with, authority := inspecting(t, n.pem()+constrained.pem())
		f := inspectedBy(start(t, w, everything(origin.name), with, func(s *server) {
			in := *s.inspector
			in.upstream = trust{system: n.pem() + constrained.pem(), extra: extra.pem()}.config
			s.inspector = &in
		}), n, authority)
		for _, version := range versions {
			got := fetch(t, f.speak(version), "GET", "https://"+origin.name+"/", nil)
			switch {
			case origin.want == "" && got.StatusCode != http.StatusOK:
				t.Errorf("%s: %d %q", origin.name, got.StatusCode, got.body)
			case origin.want != "" && (got.StatusCode != http.StatusBadGateway || !strings.Contains(got.body, origin.want)):
				t.Errorf("%s: %d %q, want %q", origin.name, got.StatusCode, got.body, origin.want)
			}
		}
		if origin.want == "" {
			continue
		}
		f.eventually("the record of "+origin.name, func(e audit.Event) bool {
			return e.Kind == policy.HTTPS && e.Decision == audit.Failed && e.Rule == ruleUpstream && strings.Contains(e.Reason, origin.want)
		})
	}
}

// What is no TLS, ends it or is silent is a clear failure.
func TestUpstreamHandshakes(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("plain.example", "alert.example", "silent.example", "closed.example", "old.example"), func(s *server) {
		s.limits.dial = 300 * time.Millisecond
	})
	w.host("plain.example", 443, listen(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	}))
	w.host("alert.example", 443, listen(t, func(conn net.Conn) {
		_, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, 40})
		_, _ = io.Copy(io.Discard, conn)
	}))
	w.host("silent.example", 443, listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }))
	w.host("closed.example", 443, listen(t, func(net.Conn) {}))
	w.host("old.example", 443, listen(t, func(conn net.Conn) {
		config := &tls.Config{Certificates: []tls.Certificate{f.notary.sign("old.example")}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // refused by the other side
		_ = tls.Server(conn, config).HandshakeContext(t.Context())
	}))
	for host, want := range map[string]struct {
		code int
		text string
	}{
		"plain.example":  {502, "plain.example does not speak TLS"},
		"alert.example":  {502, "alert.example ended the TLS handshake: tls: handshake failure"},
		"silent.example": {504, "the TLS handshake with silent.example took too long"},
		"closed.example": {502, "the TLS handshake with closed.example failed"},
		"old.example":    {502, "old.example ended the TLS handshake"},
	} {
		for _, version := range versions {
			got := fetch(t, f.speak(version), "GET", "https://"+host+"/", nil)
			if got.StatusCode != want.code || !strings.Contains(got.body, want.text) {
				t.Errorf("%s, %s: %d %q", host, version, got.StatusCode, got.body)
			}
		}
	}
	f.eventually("a failed handshake's record", func(e audit.Event) bool {
		return e.Kind == policy.HTTPS && e.Decision == audit.Failed && strings.Contains(e.Reason, "took too long")
	})
}

// A connection upstream serves one request after the other, and one that the
// origin ended is replaced.
func TestSecureUpstreamIsKept(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"))
	closing := false
	f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
		if closing {
			w.Header().Set("Connection", "close")
		}
		echo(w, r)
	}, protoHTTP1)
	client := f.speak(protoHTTP1)
	for range 5 {
		fetch(t, client, "GET", "https://a.example/", nil)
	}
	if got := w.dials(); len(got) != 1 {
		t.Errorf("dialled %d times", len(got))
	}
	closing = true
	for range 3 {
		if got := fetch(t, client, "POST", "https://a.example/", strings.NewReader("x")); got.StatusCode != http.StatusOK {
			t.Errorf("%d %q", got.StatusCode, got.body)
		}
	}
}
