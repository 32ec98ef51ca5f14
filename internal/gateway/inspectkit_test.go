package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"claude-bottle/internal/ca"
	"claude-bottle/internal/policy"
)

// notary signs for origins under test.
type notary struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newNotary(t testing.TB, change ...func(*x509.Certificate)) *notary {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the world's authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	for _, c := range change {
		c(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &notary{t, cert, key}
}

func (n *notary) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.cert.Raw}))
}

// sign makes a server's certificate for name.
func (n *notary) sign(name string, change ...func(*x509.Certificate)) tls.Certificate {
	n.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, c := range change {
		c(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, n.cert, n.key.Public(), n.key)
	if err != nil {
		n.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: n.key}
}

// secureOrigin serves over TLS, with HTTP/2 unless protocols say otherwise.
func secureOrigin(t testing.TB, cert tls.Certificate, serve http.HandlerFunc, protocols ...string) string {
	t.Helper()
	s := httptest.NewUnstartedServer(serve)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.EnableHTTP2 = len(protocols) == 0
	if len(protocols) > 0 {
		s.TLS.NextProtos = protocols
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// inspected is a gateway that sees into TLS, and what trusts its authority.
type inspected struct {
	*fixture
	notary    *notary
	authority *x509.Certificate
	roots     *x509.CertPool
}

// inspectedBy wraps a gateway that inspects with the given authority.
func inspectedBy(f *fixture, n *notary, authority *x509.Certificate) *inspected {
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return &inspected{f, n, authority, pool}
}

// everything is a policy that allows hosts and inspects all of them.
func everything(hosts ...string) policy.Egress {
	e := allow(hosts...)
	e.Inspect = "always"
	return e
}

// inspecting makes a gateway inspect TLS, with an origin's authority as the
// only one that it trusts.
func inspecting(t testing.TB, roots string) (option, *x509.Certificate) {
	t.Helper()
	pair, err := ca.New("run1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(pair.Certificate))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return func(s *server) {
		if s.inspector, err = newInspector(pair, trust{system: roots}, s.limits.connections); err != nil {
			t.Fatal(err)
		}
	}, cert
}

// inspectWorld is a gateway that inspects what policy says.
func inspectWorld(t testing.TB, w *world, e policy.Egress, opts ...option) *inspected {
	t.Helper()
	n := newNotary(t)
	with, authority := inspecting(t, n.pem())
	return inspectedBy(start(t, w, e, append([]option{with}, opts...)...), n, authority)
}

// world are the roots of the origins' certificates, for what is not opened.
func (f *inspected) world() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(f.notary.cert)
	return pool
}

// serve puts an origin of name on port 443 of the world.
func (f *inspected) serve(w *world, name string, serve http.HandlerFunc, protocols ...string) {
	w.host(name, 443, secureOrigin(f.t, f.notary.sign(name), serve, protocols...))
}

// speak is a client of one version of HTTP through the proxy.
func (f *inspected) speak(version string) *http.Client {
	tr := &http.Transport{
		Proxy:              proxyAt(f.proxy),
		TLSClientConfig:    &tls.Config{RootCAs: f.roots},
		DisableCompression: true,
		Protocols:          protocolsOf(version),
	}
	f.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func protocolsOf(version string) *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(version == protoHTTP1)
	p.SetHTTP2(version == protoHTTP2)
	return &p
}

// bySNI is a client of one version that goes to the gateway's port 443.
func (f *inspected) bySNI(version string) *http.Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, f.tls)
		},
		TLSClientConfig: &tls.Config{RootCAs: f.roots},
		Protocols:       protocolsOf(version),
	}
	f.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}
