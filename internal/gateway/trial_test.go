package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// TestTrial: until it is settled a gateway decides as ever, carries nothing,
// records nothing, and has a canary on each leg but the bottle's.
func TestTrial(t *testing.T) {
	asked := 0
	origin := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer origin.Close()
	port := origin.Listener.Addr().(*net.TCPAddr).Port
	client, _, frame := boot(t.Context(), t, func(b *wire.GatewayBoot) {
		b.Word = "trialword"
		b.Policy = policy.Egress{
			Allow:   []policy.Allow{{Host: "allowed.example:" + itoa(port)}, {Host: "plain.example"}},
			Resolve: map[string]netip.Addr{"allowed.example": netip.MustParseAddr("127.0.0.1")},
			Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		}
	})
	get := func(host string) int {
		t.Helper()
		conn, err := connect(t, "tcp", hostPort(frame.Address, frame.Ports.Proxy))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET http://%s/ HTTP/1.1\r\nHost: %[1]s\r\nConnection: close\r\n\r\n", host)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	allowed := "allowed.example:" + itoa(port)
	if code := get(allowed); code != http.StatusServiceUnavailable || asked != 0 {
		t.Errorf("allowed, on trial: status %d, asked %d times", code, asked)
	}
	if code := get("refused.example"); code != http.StatusForbidden {
		t.Errorf("refused, on trial: status %d", code)
	}
	for name, alert := range map[string]string{"plain.example": "internal error", "refused.example": "unrecognized name"} {
		d := tls.Dialer{Config: &tls.Config{ServerName: name}}
		conn, err := d.DialContext(t.Context(), "tcp", hostPort(frame.Address, frame.Ports.TLS))
		if err == nil {
			_ = conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), alert) {
			t.Errorf("TLS to %s, on trial: %v", name, err)
		}
	}
	for _, canary := range client.Canaries() {
		if canary.Leg.Addr() == frame.Address {
			t.Errorf("a canary is on the bottle's side: %+v", canary)
		}
		if err := probe.Hear(t.Context(), canary.Address(), "trialword"); err != nil {
			t.Error(err)
		}
	}
	if record, err := os.ReadFile(frame.Record); err != nil || len(record) > 0 {
		t.Errorf("recorded on trial: %q, %v", record, err)
	}
	if err := client.Settle(t.Context(), wire.Settle{Summary: "3 checks, all closed (1 ms)"}); err != nil {
		t.Fatal(err)
	}
	for _, canary := range client.Canaries() {
		if conn, err := connect(t, "tcp", canary.Address().String()); err == nil {
			_ = conn.Close()
			t.Errorf("the canary on %s sings on", canary.Address())
		}
	}
	if code := get(allowed); code != http.StatusOK || asked != 1 {
		t.Errorf("allowed, settled: status %d, asked %d times", code, asked)
	}
	var events []audit.Event
	if _, err := audit.Read(frame.Record, func(e audit.Event) error { events = append(events, e); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(events) < 2 || events[0].Kind != audit.Isolation || !strings.Contains(events[0].Reason, "all closed") || events[1].Kind != policy.HTTP {
		t.Errorf("the record: %+v", events)
	}
}

// TestTrialCannotComeBack: a settled gateway takes no more orders.
func TestTrialCannotComeBack(t *testing.T) {
	client, done, _ := boot(t.Context(), t, func(b *wire.GatewayBoot) { b.Word = "trialword" })
	if err := client.Settle(t.Context(), wire.Settle{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Probe(t.Context(), wire.GatewayProbe{}); err == nil {
		t.Error("it probes again")
	}
	select {
	case err := <-done:
		if err != nil {
			t.Logf("it ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}

// TestTrialAnswersTheCanarysName: it alone knows that name, also when the
// question was long on its way.
func TestTrialAnswersTheCanarysName(t *testing.T) {
	client, _, frame := boot(t.Context(), t, func(b *wire.GatewayBoot) { b.Word = "trialword" })
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", hostPort(frame.Address, frame.Ports.DNS))
	}}
	known := func(when string) {
		t.Helper()
		got, err := resolver.LookupNetIP(t.Context(), "ip4", probe.CanaryName("trialword")+".")
		if err != nil || len(got) != 1 || got[0] != frame.Address {
			t.Errorf("%s: %v, %v", when, got, err)
		}
	}
	known("on trial")
	if err := client.Settle(t.Context(), wire.Settle{}); err != nil {
		t.Fatal(err)
	}
	known("settled")
	if got, err := resolver.LookupNetIP(t.Context(), "ip4", probe.CanaryName("another")+"."); err == nil {
		t.Errorf("another word: %v", got)
	}
}
