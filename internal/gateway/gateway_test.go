package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is one end of a boot stream.
type pipe struct {
	io.ReadCloser
	io.WriteCloser
}

func (p pipe) Close() error {
	p.ReadCloser.Close()
	return p.WriteCloser.Close()
}

func streams() (launcher pipe, stdin *io.PipeReader, stdout *io.PipeWriter) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	return pipe{outR, inW}, inR, outW
}

func freePort(t *testing.T, addr string) int {
	t.Helper()
	l, err := net.Listen("tcp", addr+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestBootServesAndEndsWithItsStream(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello "+r.Host)
	}))
	defer origin.Close()
	port := origin.Listener.Addr().(*net.TCPAddr).Port
	record := filepath.Join(t.TempDir(), "record")
	launcher, stdin, stdout := streams()
	done := make(chan error, 1)
	go func() { done <- serve(context.Background(), wire.NewConn(stdio{stdin, stdout}), outside{}) }()
	boot := wire.GatewayBoot{
		Run: "r1",
		Policy: policy.Egress{
			Allow:   []policy.Allow{{Host: net.JoinHostPort("origin.example", itoa(port)), Source: "bottle work"}},
			Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			Resolve: map[string]netip.Addr{"origin.example": netip.MustParseAddr("127.0.0.1")},
		},
		Address:  netip.MustParseAddr("127.0.0.9"),
		Record:   record,
		Attached: true,
	}
	boot.Ports = wire.Ports{Proxy: freePort(t, "127.0.0.9"), HTTP: freePort(t, "127.0.0.9"), TLS: freePort(t, "127.0.0.9"), DNS: freePort(t, "127.0.0.9")}
	client := wire.NewGatewayClient(launcher)
	if err := client.Boot(t.Context(), boot); err != nil {
		t.Fatal(err)
	}
	proxy := http.Client{Transport: &http.Transport{Proxy: proxyAt("127.0.0.9", boot.Ports.Proxy), DisableKeepAlives: true}}
	resp, err := proxy.Get("http://origin.example:" + itoa(port) + "/x?secret=1")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if got, want := string(body), "hello origin.example:"+itoa(port); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	client.Close()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	b, _ := os.ReadFile(record)
	t.Logf("%s", b)
	if strings.Contains(string(b), "secret") || strings.Count(string(b), "\n") != 2 {
		t.Errorf("record: %s", b)
	}
}
