package gateway

import (
	"encoding/pem"
	"os"
	"path/filepath"
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
	dir := t.TempDir()
	roots := filepath.Join(dir, "roots.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.authority.Raw})
	if err := os.WriteFile(roots, data, 0o644); err != nil { //nolint:gosec // G306: a certificate
		t.Fatal(err)
	}
	call := origins.CallGRPC(t, dir, "a.example:443")
	call.Env = append(os.Environ(), "https_proxy=http://"+f.proxy, "no_proxy=", "no_grpc_proxy=", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH="+roots)
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
