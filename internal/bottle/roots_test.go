package bottle

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"claude-bottle/internal/environ"
)

// TestGoTrustsRoots needs a process of its own: Go reads the roots once.
func TestGoTrustsRoots(t *testing.T) {
	if url := os.Getenv("BOTTLE_TEST_URL"); url != "" {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	path := filepath.Join(t.TempDir(), "roots.pem")
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestGoTrustsRoots$")
	cmd.Env = []string{"BOTTLE_TEST_URL=" + server.URL, "SSL_CERT_FILE=" + path}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRootsAreTheManifests(t *testing.T) {
	own := []environ.Entry{{Name: "SSL_CERT_FILE", Kind: environ.Literal, Value: "/mine"}}
	added := rootsSetup("pem", false, own)
	if hasEntry(added, "SSL_CERT_FILE") || !hasEntry(added, "NODE_EXTRA_CA_CERTS") {
		t.Errorf("added: %v", envNames(added))
	}
	if added := rootsSetup("", false, nil); added != nil {
		t.Errorf("without roots: %v", added)
	}
}
