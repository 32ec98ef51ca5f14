package bottle

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/environ"
	"claude-bottle/test/engine"
)

// TestProgramsTrustRoots runs programs with the environment that a bottle gets
// for `ca`, against a server whose certificate only that file vouches for.
func TestProgramsTrustRoots(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = w.Write([]byte("001e# service=git-upload-pack\n0000"))
			head := strings.Repeat("a", 40) + " refs/heads/main\x00\n"
			_, _ = fmt.Fprintf(w, "%04x%s0000", len(head)+4, head)
			return
		}
		_, _ = w.Write([]byte("trusted"))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()

	roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	files, entries := rootsSetup(roots, false, nil)
	if len(files) != 1 || string(files[0].Data) != roots {
		t.Fatalf("files: %+v", files)
	}
	path := filepath.Join(t.TempDir(), "roots.pem")
	write(t, path, roots)
	var env []string
	for _, entry := range entries {
		env = append(env, entry.Name+"="+strings.ReplaceAll(entry.Value, EtcMount+"/"+rootsFile, path))
	}
	bare := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1"}

	for name, test := range map[string]struct {
		argv []string
		want string
	}{
		"curl":   {[]string{"curl", "-sS", server.URL}, "trusted"},
		"git":    {[]string{"git", "ls-remote", server.URL + "/x.git"}, "refs/heads/main"},
		"python": {[]string{"python3", "-c", "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())", server.URL}, "trusted"},
		"node":   {[]string{"node", "-e", "fetch(process.argv[1]).then(r => r.text()).then(console.log)", server.URL}, "trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			engine.Tool(t, test.argv[0])
			run := func(env []string) string {
				cmd := exec.CommandContext(t.Context(), test.argv[0], test.argv[1:]...)
				cmd.Env = env
				out, _ := cmd.CombinedOutput()
				return string(out)
			}
			if out := run(bare); strings.Contains(out, test.want) {
				t.Fatalf("it trusts any certificate: %s", out)
			}
			if out := run(append(bare, env...)); !strings.Contains(out, test.want) {
				t.Errorf("it does not trust the root: %s", out)
			}
		})
	}
}

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
	_, added := rootsSetup("pem", false, own)
	if hasEntry(added, "SSL_CERT_FILE") || !hasEntry(added, "NODE_EXTRA_CA_CERTS") {
		t.Errorf("added: %v", envNames(added))
	}
	if files, added := rootsSetup("", false, nil); files != nil || added != nil {
		t.Errorf("without roots: %v, %v", files, added)
	}
}
