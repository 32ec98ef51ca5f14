package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is the launcher's end of a boot stream.
type pipe struct {
	io.ReadCloser
	io.WriteCloser
}

func (p pipe) Close() error { return errors.Join(p.ReadCloser.Close(), p.WriteCloser.Close()) }

// bootStream starts serve and returns its launcher's end.
func bootStream(ctx context.Context, t *testing.T, out outside) (*wire.GatewayClient, <-chan error) {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() {
		conn := wire.NewConn(stdio{inR, outW})
		err := serve(ctx, conn, out, bind)
		if err != nil {
			_ = conn.WriteError(err)
		}
		_ = conn.Close()
		done <- err
	}()
	client := wire.NewGatewayClient(pipe{outR, inW})
	t.Cleanup(func() { client.Close() })
	return client, done
}

// bootFrame has four ports that were free together a moment ago.
func bootFrame(t *testing.T, address string) wire.GatewayBoot {
	t.Helper()
	var ports [4]int
	for i := range ports {
		l, err := listenConfig().Listen(t.Context(), "tcp", address+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return wire.GatewayBoot{
		Run: "r1", Address: addr(address), Record: filepath.Join(t.TempDir(), "record"), Attached: true,
		Ports: wire.Ports{Proxy: ports[0], HTTP: ports[1], TLS: ports[2], DNS: ports[3]},
	}
}

// boot boots a gateway on an address of its own, choosing ports again when
// somebody else was quicker.
func boot(ctx context.Context, t *testing.T, change func(*wire.GatewayBoot)) (*wire.GatewayClient, <-chan error, wire.GatewayBoot) {
	t.Helper()
	for {
		client, done := bootStream(ctx, t, outside{})
		frame := bootFrame(t, "127.0.0.9")
		change(&frame)
		err := client.Boot(t.Context(), frame)
		if err == nil {
			return client, done, frame
		}
		if !strings.Contains(err.Error(), "address already in use") {
			t.Fatal(err)
		}
	}
}

// The whole way, with the real dialler: boot frame, request, record, and the
// end with the stream.
func TestServe(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello "+r.Host)
	}))
	defer origin.Close()
	port := itoa(origin.Listener.Addr().(*net.TCPAddr).Port)
	client, done, boot := boot(t.Context(), t, func(b *wire.GatewayBoot) {
		b.Policy = allow("origin.example:" + port)
		b.Policy.Private = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		b.Policy.Resolve = map[string]netip.Addr{"origin.example": addr("127.0.0.1")}
	})
	through := http.Client{Transport: &http.Transport{Proxy: proxyAt("127.0.0.9:" + itoa(boot.Ports.Proxy)), DisableKeepAlives: true}}
	if got, want := fetch(t, &through, "GET", "http://origin.example:"+port+"/x?secret=1", nil).body, "hello origin.example:"+port; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	client.Close()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	var events []audit.Event
	if bad, err := audit.Read(boot.Record, func(e audit.Event) error { events = append(events, e); return nil }); bad != 0 || err != nil {
		t.Errorf("record: %d bad lines, %v", bad, err)
	}
	if len(events) != 2 || events[0].Phase != audit.Open || events[1].Phase != audit.Close || events[1].ID != events[0].ID ||
		events[1].Run != "r1" || events[1].Path != "/x" || events[1].Received == 0 || events[1].Address != "127.0.0.1" {
		t.Errorf("record: %+v", events)
	}
	if raw, _ := os.ReadFile(boot.Record); bytes.Contains(raw, []byte("secret")) {
		t.Errorf("the record holds a query: %s", raw)
	}
}

func TestServeOutlivesItsStreamWhenNotAttached(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client, done, boot := boot(ctx, t, func(b *wire.GatewayBoot) { b.Attached = false })
	client.Close()
	if got := say(t, "127.0.0.9:"+itoa(boot.Ports.Proxy), "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("after the stream's end: %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Only the bottle's side is listened on, by TCP and by UDP.
func TestOneAddress(t *testing.T) {
	client, done, boot := boot(t.Context(), t, func(*wire.GatewayBoot) {})
	for _, port := range []int{boot.Ports.Proxy, boot.Ports.HTTP, boot.Ports.TLS, boot.Ports.DNS} {
		if conn, err := connect(t, "tcp", "127.0.0.9:"+itoa(port)); err != nil {
			t.Errorf("port %d: %v", port, err)
		} else {
			conn.Close()
		}
		for _, other := range []string{"127.0.0.1", "127.0.0.10"} {
			if conn, err := connect(t, "tcp", other+":"+itoa(port)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s port %d: %v %v", other, port, conn, err)
			}
		}
	}
	udp, err := connect(t, "udp", "127.0.0.10:"+itoa(boot.Ports.DNS))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	_ = udp.SetDeadline(time.Now().Add(2 * time.Second))
	_, _ = udp.Write(query(t, "a.example.", 1))
	if n, err := udp.Read(make([]byte, 512)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("UDP on another address: %d bytes, %v", n, err)
	}
	client.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBootSaysWhatFailed(t *testing.T) {
	good := bootFrame(t, "127.0.0.9")
	taken, err := listenConfig().Listen(t.Context(), "tcp", "127.0.0.9:"+itoa(good.Ports.TLS))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tt := range map[string]struct {
		change func(*wire.GatewayBoot)
		want   string
	}{
		"policy":  {func(b *wire.GatewayBoot) { b.Policy = allow("https://x") }, `allowlist entry "https://x"`},
		"address": {func(b *wire.GatewayBoot) { b.Address = netip.Addr{} }, "no address"},
		"any":     {func(b *wire.GatewayBoot) { b.Address = addr("0.0.0.0") }, "no address"},
		"record":  {func(b *wire.GatewayBoot) { b.Record = "/nonexistent/record" }, "open record"},
		"port":    {func(b *wire.GatewayBoot) { b.Ports.TLS = good.Ports.TLS }, "address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			client, done := bootStream(t.Context(), t, outside{})
			boot := bootFrame(t, "127.0.0.9")
			tt.change(&boot)
			err := client.Boot(t.Context(), boot)
			var remote *wire.RemoteError
			if !errors.As(err, &remote) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if err := <-done; err == nil {
				t.Error("serve returned nil")
			}
		})
	}
}

func TestBootEndsWithItsContext(t *testing.T) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	defer outW.Close()
	go func() { _, _ = io.Copy(io.Discard, inR) }() // takes the frame, never answers
	client := wire.NewGatewayClient(pipe{outR, inW})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := client.Boot(ctx, wire.GatewayBoot{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestListenAndServe(t *testing.T) {
	record := filepath.Join(t.TempDir(), "record")
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan net.Addr, 1)
	done := make(chan error, 1)
	go func() {
		done <- ListenAndServe(ctx, Options{
			Policy: allow("127.0.0.1:1"), Listen: "127.0.0.1:0", Record: record, Ready: func(a net.Addr) { ready <- a },
		})
	}()
	address := (<-ready).String()
	got := say(t, address, "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("%q", got)
	}
	// Listed, but the host's own address, which it has read by itself.
	got = say(t, address, "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.Contains(got, policy.RuleOwn) {
		t.Errorf("%q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
