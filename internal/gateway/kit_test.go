package gateway

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

func itoa(n int) string { return strconv.Itoa(n) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func proxyAt(address string) func(*http.Request) (*url.URL, error) {
	return http.ProxyURL(&url.URL{Scheme: "http", Host: address})
}

// world is the outside of a gateway under test: names, and routes from
// addresses that only look public to listeners on loopback. Nothing else can
// be dialled.
type world struct {
	mu      sync.Mutex
	names   map[string][]netip.Addr
	routes  map[string]string // "address:port" to a listener
	dialled []string
	asked   []string
}

// nowhere is a route to a host that answers no connection, and refuses none.
const nowhere = "nowhere"

func newWorld() *world {
	return &world{names: map[string][]netip.Addr{}, routes: map[string]string{}}
}

// host makes name resolve to a public address whose port leads to listener.
func (w *world) host(name string, port int, listener string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.names[name] == nil {
		w.names[name] = []netip.Addr{netip.AddrFrom4([4]byte{93, 184, 216, byte(len(w.names) + 1)})}
	}
	w.routes[net.JoinHostPort(w.names[name][0].String(), itoa(port))] = listener
}

func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, host)
	addrs, ok := w.names[strings.TrimSuffix(host, ".")]
	if !ok || !strings.HasSuffix(host, ".") {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return slices.Clone(addrs), nil
}

func (w *world) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, address)
	to := w.routes[address]
	w.mu.Unlock()
	if to == nowhere {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if to == "" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to)
}

func (w *world) dials() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.dialled)
}

// fixture is a gateway at work.
type fixture struct {
	t                        testing.TB
	server                   *server
	proxy, http, tls, dnsTCP string
	dnsUDP                   string
	record                   string
	socket                   string // of the control stream, where there is one
}

type option func(*server)

func allow(hosts ...string) policy.Egress {
	var e policy.Egress
	for _, h := range hosts {
		e.Allow = append(e.Allow, policy.Allow{Host: h, Source: "test"})
	}
	return e
}

func start(t testing.TB, w *world, e policy.Egress, opts ...option) *fixture {
	t.Helper()
	f := &fixture{t: t, record: filepath.Join(t.TempDir(), "record")}
	f.run(w, e, opts...)
	return f
}

func (f *fixture) run(w *world, e policy.Egress, opts ...option) {
	t := f.t
	t.Helper()
	s, err := newServer(e, "run1", f.record, nil, outside{w, w})
	if err != nil {
		t.Fatal(err)
	}
	s.limits.linger = 200 * time.Millisecond
	for _, o := range opts {
		o(s)
	}
	ls, err := listenBottle(t.Context(), addr("127.0.0.1"), wire.Ports{})
	if err != nil {
		t.Fatal(err)
	}
	f.server = s
	f.proxy, f.http, f.tls = ls.proxy.Addr().String(), ls.http.Addr().String(), ls.tls.Addr().String()
	f.dnsTCP, f.dnsUDP = ls.dnsTCP.Addr().String(), ls.dnsUDP.LocalAddr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx, ls) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !strings.Contains(f.record, "/dev/") {
			t.Errorf("serve: %v", err)
		}
	})
}

// events are the lines of the record so far.
func (f *fixture) events() []audit.Event {
	f.t.Helper()
	var all []audit.Event
	if _, err := audit.Read(f.record, func(e audit.Event) error { all = append(all, e); return nil }); err != nil {
		f.t.Fatal(err)
	}
	return all
}

// eventually waits for an event, as what follows an answer is recorded after
// it.
func (f *fixture) eventually(what string, is func(audit.Event) bool) audit.Event {
	f.t.Helper()
	var found audit.Event
	waitFor(f.t, what, func() bool {
		i := slices.IndexFunc(f.events(), is)
		if i >= 0 {
			found = f.events()[i]
		}
		return i >= 0
	})
	return found
}

// waitFor polls a condition up to a deadline.
func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not in 5 s", what)
		}
	}
}

// client is an HTTP client that uses the gateway as its proxy.
func (f *fixture) client(roots *x509.CertPool) *http.Client {
	tr := &http.Transport{Proxy: proxyAt(f.proxy), TLSClientConfig: &tls.Config{RootCAs: roots}}
	f.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func connect(t testing.TB, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(t.Context(), network, address)
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := connect(t, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// say sends raw bytes on a fresh connection and returns all that comes back.
func say(t *testing.T, address, raw string) string {
	t.Helper()
	conn := dial(t, address)
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(conn)
	return string(b)
}

// reply is a response, read to its end.
type reply struct {
	*http.Response
	body string
}

// readResponse reads one response.
func readResponse(t testing.TB, br *bufio.Reader, method string) reply {
	t.Helper()
	return whole(t)(http.ReadResponse(br, &http.Request{Method: method})) //nolint:bodyclose // whole closes it
}

// fetch sends one request.
func fetch(t testing.TB, client *http.Client, method, url string, body io.Reader, change ...func(*http.Request)) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	return whole(t)(client.Do(r)) //nolint:bodyclose // whole closes it
}

func whole(t testing.TB) func(*http.Response, error) reply {
	t.Helper()
	return func(resp *http.Response, err error) reply {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply{resp, string(b)}
	}
}

// listen serves raw connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := listenConfig().Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				serve(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

// certificate is a self-signed one for names, and the pool that trusts it.
func certificate(t testing.TB, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// scripted is a connection that says what it was given and hears nothing.
type scripted struct {
	io.Reader
	net.Conn
}

func (s *scripted) Read(b []byte) (int, error)       { return s.Reader.Read(b) }
func (s *scripted) Write(b []byte) (int, error)      { return len(b), nil }
func (s *scripted) Close() error                     { return nil }
func (s *scripted) SetDeadline(time.Time) error      { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}
