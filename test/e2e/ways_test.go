package e2e_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/ca"
	"claude-bottle/internal/policy"
	"claude-bottle/test/engine"
)

// wayTaken is what the record says of each line of the document's examples, in
// their order.
var wayTaken = []struct {
	kind policy.Kind
	port int
	said string
}{
	{policy.Connect, 443, "hello over TLS"},
	{policy.SOCKS, 443, "hello over TLS"},
	{policy.DNS, 0, ""},
	{policy.HTTP, 80, "hello in clear"},
	{policy.TLS, 443, "hello over TLS"},
	{policy.Connect, 5432, "hello from the database"},
}

// TestWaysIn types what docs/gateway.md shows of the ways in, in a bottle that is
// as it says there.
func TestWaysIn(t *testing.T) {
	engine.Tool(t, "bwrap")
	document, err := os.ReadFile("../../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(document), "(`TestWaysIn` types them):\n\n```sh\n")
	block, _, _ := strings.Cut(rest, "```")
	examples := strings.Split(strings.TrimSpace(block), "\n")
	if len(examples) != len(wayTaken) {
		t.Fatalf("%d examples, want %d:\n%s", len(examples), len(wayTaken), block)
	}
	p := newWaysPerson(t)
	for i, example := range examples {
		got := p.run("start", "shell", "--platform", "native", "--yes", "--", example)
		want := wayTaken[i]
		if got.code != 0 || !strings.Contains(got.stdout, want.said) || got.stdout == "" {
			t.Errorf("%s\ncode %d, %q, want %q\n%s", example, got.code, got.stdout, want.said, got.stderr)
		}
		taken := false
		for _, e := range p.lastRecord() {
			taken = taken || e.Kind == want.kind && e.Port == want.port && e.Decision == audit.Allowed
		}
		if !taken {
			t.Errorf("%s\nis not recorded as %s to port %d: %+v", example, want.kind, want.port, p.lastRecord())
		}
	}
	// Nor is anything wrong for who wants IPv4 alone, if the host has it.
	if got := p.run("start", "shell", "--platform", "native", "--yes", "--", "getent ahostsv4 api.example.com"); got.code != 0 {
		t.Errorf("AF_INET with AI_ADDRCONFIG: code %d\n%s", got.code, got.stderr)
	}
}

// newWaysPerson has a bottle as the document says, and the hosts that it names
// on loopback.
func newWaysPerson(t *testing.T) *person {
	t.Helper()
	binary, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	secure := listenHTTPS(t)
	address := netip.MustParseAddrPort(secure.Addr().String()).Addr()
	pair, err := ca.New("ways", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := ca.NewIssuer(pair)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := issuer.Leaf("api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	says(t, tls.NewListener(secure, &tls.Config{Certificates: []tls.Certificate{*leaf}, MinVersion: tls.VersionTLS12}), "hello over TLS\n")
	says(t, listenOn(t, address, 80), "hello in clear\n")
	database := listenOn(t, address, 5432)
	ended := make(chan struct{})
	go func() { // ends with the listener
		defer close(ended)
		for {
			conn, err := database.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "hello from the database\n")
			conn.Close()
		}
	}()
	t.Cleanup(func() { database.Close(); <-ended })

	dir := filepath.Join(shared.dir, "ways")
	p := &person{t: t, binary: binary, home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), project: filepath.Join(dir, "project")}
	for _, dir := range []string{shared.dir, dir, p.home, p.state, p.project} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // G302: others work in it
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf(`bottles:
  ways:
    egress:
      allowlist: [api.example.com]
      rules: [{host: db.example.com, port: 5432, tcp: true}]
      resolve: {api.example.com: %s, db.example.com: %s}
      private: [%s/32]
      ca: ca.pem
agents:
  shell: {bottle: ways, harness: {command: [bash, -c]}}
`, address, address, address)
	for name, content := range map[string]string{"claude-bottle.yaml": text, "ca.pem": pair.Certificate} {
		if err := os.WriteFile(filepath.Join(p.home, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.env = []string{"HOME=" + p.home, "XDG_STATE_HOME=" + p.state, "PATH=" + os.Getenv("PATH"), "TERM=xterm-256color"}
	return p
}

// listenOn is a port of an address of loopback that is the test's.
func listenOn(t *testing.T, address netip.Addr, port uint16) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", netip.AddrPortFrom(address, port).String())
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// says serves one text until the test ends.
func says(t *testing.T, listener net.Listener, text string) {
	t.Helper()
	server := &http.Server{
		ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}
