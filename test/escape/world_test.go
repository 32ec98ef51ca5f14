//go:build linux

package escape_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"claude-bottle/internal/attack"
	"claude-bottle/test/escape/attacks"
)

// Addresses of the world, all on its loopback.
var (
	allowedAddress  = netip.MustParseAddr("198.51.100.10")
	openAddress     = netip.MustParseAddr("198.51.100.77") // of a gateway that lets everything through
	serverAddress   = netip.MustParseAddr("198.51.100.53") // of names
	uplinkAddress   = netip.MustParseAddr("203.0.113.80")  // the host's own
	elsewhere       = netip.MustParseAddr("203.0.113.9")
	metadataAddress = netip.MustParseAddr("169.254.169.254")
	privateAddress  = netip.MustParseAddr("10.20.0.9")
	loopback        = netip.MustParseAddr("127.0.0.1")
)

var addresses = []netip.Addr{allowedAddress, openAddress, serverAddress, uplinkAddress, elsewhere, metadataAddress, privateAddress}

// Names of the world.
const (
	allowedName   = "allowed.example"
	elsewhereName = "elsewhere.example"
	wildName      = "wild.example"
	rebindingName = "rebinding.example"
)

// world is all that there is outside of bottles. Whatever reaches it, but for
// the allowed host, it has heard.
type world struct {
	nonce string
	port  uint16 // of the canary on every address

	mu        sync.Mutex
	heard     []string
	asked     []string // names, of the name server
	rebinding int

	listeners []io.Closer
	serving   sync.WaitGroup
}

func newWorld(dir string) (*world, error) {
	w := &world{nonce: strings.ToLower(rand.Text())}
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return nil, fmt.Errorf("make the world's mounts its own: %w", err)
	}
	resolv := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver "+serverAddress.String()+"\n"), 0o644); err != nil { //nolint:gosec // G306: for everybody
		return nil, err
	}
	if err := syscall.Mount(resolv, "/etc/resolv.conf", "", syscall.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("give the world its name server: %w", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0); err != nil {
		return nil, err
	}
	// A host that does not check where packets come from hears what a bottle on
	// gVisor sends to everybody; this is how docs/security.md says to end that.
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/default/rp_filter", []byte("2"), 0); err != nil {
		return nil, err
	}
	commands := [][]string{{"link", "set", "lo", "up"}}
	for _, address := range addresses {
		commands = append(commands, []string{"address", "add", address.String() + "/32", "dev", "lo"})
	}
	for _, args := range commands {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil { //nolint:noctx // ends by itself
			return nil, fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return w, w.listen()
}

// listen serves everybody on every address: the canary's port, HTTP, TLS and
// names.
func (w *world) listen() error {
	canary, err := w.tcp(":0", w.say)
	if err != nil {
		return err
	}
	w.port = uint16(canary.Addr().(*net.TCPAddr).Port) //nolint:gosec // G115: a port
	for address, serve := range map[string]func(net.Conn){
		":80": w.http, ":443": w.tls, ":22": w.say, ":2375": w.say, ":53": w.namesOverTCP, ":853": w.say,
	} {
		if _, err := w.tcp(address, serve); err != nil {
			return err
		}
	}
	names := func(question []byte, from net.Addr) []byte { return w.answer(question, "udp "+from.String()) }
	// One for each address too: what is bound to none answers from another one
	// than it was asked at.
	for _, at := range append(slices.Clone(addresses), loopback, netip.IPv4Unspecified()) {
		if err := errors.Join(w.udp(netip.AddrPortFrom(at, w.port), w.sayTo), w.udp(netip.AddrPortFrom(at, 53), names)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) tcp(address string, serve func(net.Conn)) (net.Listener, error) {
	listener, err := net.Listen("tcp", address) //nolint:noctx // until close
	if err != nil {
		return nil, err
	}
	w.listeners = append(w.listeners, listener)
	w.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.serving.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				serve(conn)
			})
		}
	})
	return listener, nil
}

func (w *world) udp(at netip.AddrPort, answer func([]byte, net.Addr) []byte) error {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var set error
		err := raw.Control(func(fd uintptr) { set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) }) //nolint:gosec // G115: a descriptor
		return errors.Join(err, set)
	}}
	conn, err := config.ListenPacket(context.Background(), "udp4", at.String())
	if err != nil {
		return err
	}
	w.listeners = append(w.listeners, conn)
	w.serving.Go(func() {
		for buffer := make([]byte, 4096); ; {
			n, from, err := conn.ReadFrom(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = conn.WriteTo(answer(buffer[:n], from), from) // it may be gone
			}
		}
	})
	return nil
}

func (w *world) close() error {
	var errs []error
	for _, listener := range w.listeners {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	w.serving.Wait()
	return errors.Join(errs...)
}

// hear notes who came.
func (w *world) hear(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = append(w.heard, what)
}

// say is a canary.
func (w *world) say(conn net.Conn) {
	w.hear("tcp " + conn.RemoteAddr().String() + " -> " + conn.LocalAddr().String())
	_, _ = io.WriteString(conn, w.nonce+"\n") // who came is noted
}

func (w *world) sayTo(_ []byte, from net.Addr) []byte {
	w.hear("udp " + from.String())
	return []byte(w.nonce)
}

// isAllowed says whether a connection is to the allowed host.
func isAllowed(conn net.Conn) bool {
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return err == nil && local.Addr().Unmap() == allowedAddress
}

// http answers one request after the other with a page, or with the nonce.
func (w *world) http(conn net.Conn) {
	page := "allowed\n"
	if !isAllowed(conn) {
		w.hear("http " + conn.RemoteAddr().String() + " -> " + conn.LocalAddr().String())
		page = w.nonce + "\n"
	}
	if strings.HasPrefix(conn.LocalAddr().String(), openAddress.String()) {
		_, _ = conn.Read(make([]byte, 4096)) // whatever it is
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+page)
		return
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if host := strings.TrimSuffix(r.Host, ":80"); page == "allowed\n" && host != allowedName && host != rebindingName {
			w.hear("http to the allowed host for " + r.Host)
		}
		_, _ = io.WriteString(rw, page) // who asked is seen to get it
	})}
	one := &single{conn: make(chan net.Conn, 1), end: make(chan struct{})}
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			one.once.Do(func() { close(one.end) })
		}
	}
	one.conn <- conn
	_ = server.Serve(one) // it ends with the connection
}

// single is a listener of one connection.
type single struct {
	conn chan net.Conn
	end  chan struct{}
	once sync.Once
}

func (s *single) Accept() (net.Conn, error) {
	select {
	case conn := <-s.conn:
		return conn, nil
	case <-s.end:
		return nil, io.EOF
	}
}

func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return &net.TCPAddr{} }

// tls is far enough of a server of TLS to be seen: the first bytes of a hello.
// The allowed host's reads what it is told, for the name in it.
func (w *world) tls(conn net.Conn) {
	if !isAllowed(conn) {
		w.hear("tls " + conn.RemoteAddr().String() + " -> " + conn.LocalAddr().String())
	}
	hello := make([]byte, 1024)
	n, _ := conn.Read(hello) // nothing is looked at as nothing
	if isAllowed(conn) && n > 0 && !strings.Contains(string(hello[:n]), allowedName) {
		w.hear("tls to the allowed host without its name")
	}
	body := append([]byte{2, 0, 0, 38, 3, 3}, make([]byte, 36)...)
	_, _ = conn.Write(append([]byte{22, 3, 3, 0, byte(len(body))}, body...)) // who came is noted
}

func (w *world) namesOverTCP(conn net.Conn) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(conn, head); err != nil {
		return
	}
	question := make([]byte, int(head[0])<<8|int(head[1]))
	if _, err := io.ReadFull(conn, question); err != nil {
		return
	}
	answer := w.answer(question, "tcp "+conn.RemoteAddr().String())
	_, _ = conn.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...)) // who asked is noted
}

// answer knows every name, and gives one of them another address each time.
func (w *world) answer(question []byte, from string) []byte {
	var message dnsmessage.Message
	if message.Unpack(question) != nil || len(message.Questions) != 1 {
		return nil
	}
	asked := message.Questions[0]
	w.mu.Lock()
	w.asked = append(w.asked, asked.Name.String()+" from "+from)
	address := elsewhere
	if asked.Name.String() == rebindingName+"." {
		address = []netip.Addr{allowedAddress, loopback, uplinkAddress, metadataAddress}[w.rebinding%4]
		if asked.Type == dnsmessage.TypeA {
			w.rebinding++
		}
	}
	w.mu.Unlock()
	message.Response, message.Additionals = true, nil
	if asked.Type == dnsmessage.TypeA {
		message.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: asked.Name, Class: asked.Class, TTL: 0},
			Body:   &dnsmessage.AResource{A: address.As4()},
		}}
	}
	if asked.Type == dnsmessage.TypeTXT {
		message.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: asked.Name, Class: asked.Class},
			Body:   &dnsmessage.TXTResource{TXT: []string{"data"}},
		}}
	}
	packed, err := message.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// forget begins anew.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard, w.asked = nil, nil
}

// heardNothing fails the test when anybody came who must not, and when a name
// was asked for that no bottle may ask the world about.
func (w *world) heardNothing(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, what := range w.heard {
		t.Errorf("the world heard: %s", what)
	}
	for _, name := range w.asked {
		if !strings.HasPrefix(name, rebindingName+".") {
			t.Errorf("the world was asked for %s", name)
		}
	}
}

// canaries are on every address of the host that a bottle could try.
func (w *world) canaries(t *testing.T) []netip.AddrPort {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var found []netip.AddrPort
	for _, address := range list {
		prefix, err := netip.ParsePrefix(address.String())
		if err == nil && !prefix.Addr().IsLinkLocalUnicast() && prefix.Addr() != allowedAddress {
			found = append(found, netip.AddrPortFrom(prefix.Addr(), w.port))
		}
	}
	if !slices.ContainsFunc(found, func(at netip.AddrPort) bool { return at.Addr() == uplinkAddress }) {
		t.Fatalf("the world has %v alone", found)
	}
	return found
}

// targets are what a bottle attacks.
func (w *world) targets(t *testing.T) attacks.Targets {
	t.Helper()
	return attacks.Targets{
		Nonce: w.nonce, Host: w.canaries(t), Metadata: netip.AddrPortFrom(metadataAddress, 80),
		Elsewhere: elsewhere, ElsewhereName: elsewhereName, NameServer: serverAddress,
		Allowed: allowedName, Wild: wildName, Rebinding: rebindingName,
		Traps: []string{"trap-loopback.example", "trap-uplink.example", "trap-metadata.example", "trap-private.example"},
	}
}

// TestWorldIsHeard shows that each canary can be heard, or silence means
// nothing.
func TestWorldIsHeard(t *testing.T) {
	w := needWorld(t)
	w.forget()
	defer w.forget()
	for _, at := range w.canaries(t) {
		// A bridge's packets to the host itself are another's by the engine's rules.
		if !slices.Contains(append(slices.Clone(addresses), loopback), at.Addr()) {
			continue
		}
		if err := attack.Knock(bounded(t, time.Second), "udp", at); err != nil {
			t.Errorf("%s over UDP: %v", at, err)
		}
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", at.String())
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		said, err := io.ReadAll(conn)
		_ = conn.Close()
		if !strings.Contains(string(said), w.nonce) {
			t.Errorf("%s says %q, %v", at, said, err)
		}
	}
	for _, name := range []string{"http://" + elsewhereName, "http://" + metadataAddress.String(), "http://" + allowedAddress.String()} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body, _ := io.ReadAll(response.Body) // compared below
		_ = response.Body.Close()
		if page := string(body); page != w.nonce+"\n" && page != "allowed\n" {
			t.Errorf("%s says %q", name, page)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if len(w.heard) < 2*len(addresses) || !slices.ContainsFunc(w.asked, func(s string) bool { return strings.HasPrefix(s, elsewhereName) }) {
		t.Errorf("heard %q, asked %q", w.heard, w.asked)
	}
}

// needWorld skips where no world can be made: that takes root.
func needWorld(t *testing.T) *world {
	t.Helper()
	if shared.world == nil {
		t.Skip("only root can make the network namespace that these tests play the world in")
	}
	return shared.world
}

// bounded is a context for one command.
func bounded(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := contextFor(limit)
	t.Cleanup(cancel)
	return ctx
}

func contextFor(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), limit)
}

func listenUnix(name string) (net.Listener, error) {
	return net.Listen("unix", name) //nolint:noctx // at once
}
