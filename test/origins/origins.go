// Package origins serves what real clients ask for, package registries and a
// site to try things with, on this machine and under names of its own. So
// npm, pip, go, apt, git, curl and the like work for tests as they are, and
// nothing leaves the machine.
package origins

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"claude-bottle/internal/ca"
	"claude-bottle/test/engine"
)

// The names. None is under a domain that anybody has (RFC 6761).
const (
	NPM    = "npm.registry.test"
	PyPI   = "pypi.registry.test"
	Go     = "go.registry.test"
	Crates = "crates.registry.test"
	APT    = "deb.registry.test"
	Web    = "web.registry.test"
	GRPC   = "grpc.registry.test"
)

// Names are all of them.
func Names() []string { return []string{NPM, PyPI, Go, Crates, APT, Web, GRPC} }

// Origins serve until the test ends.
type Origins struct {
	// Address is where all names but GRPC are served at port 443, and
	// GRPCAddress where that is.
	Address, GRPCAddress netip.Addr
	// Roots is what their certificates hang on, PEM.
	Roots string

	mu    sync.Mutex // guards what is below
	asked []string
	sites map[string]http.Handler
	added []string // names of sites that are none of Names
}

// Start serves all of them at addresses of loopback that nobody else has. Port
// 443 is root's on most machines: elsewhere the test skips, or fails where that
// was promised.
func Start(t testing.TB) *Origins {
	t.Helper()
	listener := listen(t)
	spare := listen(t) // for an address whose port is free
	spare.Close()
	return open(t, listener, addressOf(spare))
}

// StartAt serves all of them at two addresses of this machine.
func StartAt(t testing.TB, address, grpc netip.Addr) *Origins {
	t.Helper()
	listener, err := listenAt(t, address)
	if err != nil {
		engine.Missing(t, engine.PartTools, err.Error())
	}
	return open(t, listener, grpc)
}

// open serves all of them, but GRPC at listener.
func open(t testing.TB, listener net.Listener, grpc netip.Addr) *Origins {
	t.Helper()
	pair, err := ca.New("origins", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := ca.NewIssuer(pair)
	if err != nil {
		t.Fatal(err)
	}
	o := &Origins{Roots: pair.Certificate, Address: addressOf(listener), GRPCAddress: grpc}
	dir := t.TempDir()
	o.sites = map[string]http.Handler{
		NPM: npmRegistry(t), PyPI: pypiIndex(t), Go: goProxy(t), Crates: crateRegistry(t), APT: aptRepository(t, dir), Web: website(t, dir),
	}
	serve(t, listener, issuer, o)
	leaf, err := issuer.Leaf(GRPC)
	if err != nil {
		t.Fatal(err)
	}
	StartGRPC(t, *leaf, netip.AddrPortFrom(o.GRPCAddress, 443).String())
	return o
}

// Add serves one more name, which may be somebody's: nobody is asked for it.
func (o *Origins) Add(name string, site http.Handler) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sites[name] = site
	o.added = append(o.added, name)
}

// ServeHTTP has the site of the request's host answer, and remembers what was
// asked for.
func (o *Origins) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	site := o.sites[r.Host]
	o.asked = append(o.asked, fmt.Sprintf("%s %s %s%s", r.Proto, r.Method, r.Host, r.URL.Path))
	o.mu.Unlock()
	if site == nil {
		http.Error(w, "no such site", http.StatusNotFound)
		return
	}
	site.ServeHTTP(w, r)
}

// Asked is what was asked for since it was called last, a line each.
func (o *Origins) Asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	asked := o.asked
	o.asked = nil
	return asked
}

// Resolve is egress.resolve of a manifest for all names, in braces.
func (o *Origins) Resolve() string {
	var b strings.Builder
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range slices.Concat(Names(), o.added) {
		address := o.Address
		if name == GRPC {
			address = o.GRPCAddress
		}
		fmt.Fprintf(&b, "%s: %s, ", name, address)
	}
	return "{" + strings.TrimSuffix(b.String(), ", ") + "}"
}

// Private is egress.private, in brackets.
func (o *Origins) Private() string { return fmt.Sprintf("[%s/32, %s/32]", o.Address, o.GRPCAddress) }

// listen finds an address of loopback at whose port 443 nobody is.
func listen(t testing.TB) net.Listener {
	t.Helper()
	var last error
	for range 10 {
		address := netip.AddrFrom4([4]byte{127, byte(1 + rand.N(250)), byte(rand.N(250)), byte(1 + rand.N(250))}) //nolint:gosec // G404: any will do
		l, err := listenAt(t, address)
		if err == nil {
			return l
		}
		last = err
	}
	engine.Missing(t, engine.PartTools, last.Error())
	return nil
}

func listenAt(t testing.TB, address netip.Addr) (net.Listener, error) {
	return new(net.ListenConfig).Listen(t.Context(), "tcp", netip.AddrPortFrom(address, 443).String())
}

func addressOf(l net.Listener) netip.Addr {
	return netip.MustParseAddrPort(l.Addr().String()).Addr()
}

// write makes a file below dir, and what is above it.
func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil { //nolint:gosec // G306: it is served
		t.Fatal(err)
	}
	return path
}
