package gateway

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/test/origins"
)

// TestGRPC: a real client and a real server, with HTTP/2 on both sides: large
// messages, streams whose every message waits for the other side's, statuses
// and other trailers, and a call that the client gives up.
func TestGRPC(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"))
	server := origins.StartGRPC(t, f.notary.sign("a.example"), "127.0.0.1:0")
	w.host("a.example", 443, "127.0.0.1:"+server.Port)
	call := f.callGRPC("call", "a.example:443")
	out, err := call.CombinedOutput()
	if err != nil || string(out) != origins.GRPCSaid {
		t.Errorf("%v\n%s\nwant\n%s", err, out, origins.GRPCSaid)
	}
	if said := server.Said(t); said != "cancelled" {
		t.Errorf("the server says %q", said)
	}
	for path, sent := range map[string]int64{"/test.Echo/Unary": 3_000_000, "/test.Echo/Both": 15, "/test.Echo/Fail": 5} {
		f.eventually("the line of "+path, func(e audit.Event) bool {
			return e.Kind == policy.HTTPS && e.Path == path && e.Phase == audit.Close && e.Decision == audit.Allowed && e.Sent > sent
		})
	}
}

// callGRPC is a client's command, by way of the gateway.
func (f *inspected) callGRPC(args ...string) *exec.Cmd {
	f.t.Helper()
	dir := f.t.TempDir()
	roots := filepath.Join(dir, "roots.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.authority.Raw})
	if err := os.WriteFile(roots, data, 0o644); err != nil { //nolint:gosec // G306: a certificate
		f.t.Fatal(err)
	}
	call := origins.CallGRPC(f.t, dir, args...)
	call.Env = append(os.Environ(), "https_proxy=http://"+f.proxy, "no_proxy=", "no_grpc_proxy=", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH="+roots)
	return call
}

// TestGRPCIsNotHeldBack has short messages go back and forth in one call, each
// when the one before was answered: none of them waits for the gateway to be
// sure that nothing follows, since a message says itself where it ends. The
// quickest of them counts: each would wait for guardPatience, whatever else the
// machine does.
func TestGRPCIsNotHeldBack(t *testing.T) {
	w := newWorld()
	f := brokerWorldWith(t, w, everything("a.example"), []option{watching}, secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"b.example"}}))
	for _, host := range []string{"a.example", "b.example"} {
		server := origins.StartGRPC(t, f.notary.sign(host), "127.0.0.1:0")
		w.host(host, 443, "127.0.0.1:"+server.Port)
		args := []string{"pace", host + ":443"}
		if host == "b.example" {
			args = append(args, f.placeholders["TOKEN"])
		}
		out, err := f.callGRPC(args...).CombinedOutput()
		var least, median float64
		if _, scan := fmt.Sscanf(string(out), "%f at least, %f median", &least, &median); err != nil || scan != nil {
			t.Fatalf("%s: %v: %s", host, err, out)
		}
		t.Logf("%s: %s", host, out)
		if held := guardPatience.Seconds() * 1000; least >= held {
			t.Errorf("%s: a message and its answer take %v ms at least, as if held back for %v", host, least, held)
		}
	}
}

// TestMessagesEnd cuts messages wherever they can be cut.
func TestMessagesEnd(t *testing.T) {
	body := []byte("\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x03abc" + "\x01\x00\x00\x01\x04" + strings.Repeat("x", 260))
	ends := map[int]bool{5: true, 13: true, len(body): true}
	for step := 1; step < 9; step++ {
		m := messagesOf(http.Header{"Content-Type": {"application/grpc+proto"}})
		for at := 0; at < len(body); at += step {
			to := min(at+step, len(body))
			if got := m.ended(body[at:to]); got != ends[to] {
				t.Errorf("by %d, behind byte %d: ended %v", step, to, got)
			}
		}
	}
	for _, kind := range []string{"", "application/json", "application/grpc-web-text"} {
		if messagesOf(http.Header{"Content-Type": {kind}}).ended(body) {
			t.Errorf("%q has messages", kind)
		}
	}
}
