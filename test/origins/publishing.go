package origins

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Publishing is a registry of npm that takes packages and hands them out.
func Publishing() http.Handler {
	var mu sync.Mutex
	documents := map[string][]byte{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPut {
			documents[r.URL.Path] = body
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"ok": true}`))
			return
		}
		document, found := documents[r.URL.Path]
		if !found {
			http.Error(w, "{}", http.StatusNotFound)
			return
		}
		_, _ = w.Write(document)
	})
}

// PrivateIndex hands out one wheel (PEP 503), of a package that is called acme.
func PrivateIndex(t testing.TB) http.Handler {
	t.Helper()
	wheel := Wheel(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/simple/acme/":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<a href="/files/acme-1.0-py3-none-any.whl">acme-1.0-py3-none-any.whl</a>`)
		case "/files/acme-1.0-py3-none-any.whl":
			_, _ = w.Write(wheel)
		default:
			http.NotFound(w, r)
		}
	})
}

// Wheel is an empty one (PEP 427).
func Wheel(t testing.TB) []byte {
	t.Helper()
	return zipped(t, map[string]string{
		"acme/__init__.py":            "",
		"acme-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n",
		"acme-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"acme-1.0.dist-info/RECORD":   "acme/__init__.py,,\nacme-1.0.dist-info/METADATA,,\nacme-1.0.dist-info/WHEEL,,\nacme-1.0.dist-info/RECORD,,\n",
	})
}

// Images is Debian's docker-registry.
func Images(t testing.TB) http.Handler {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, err.Error(), http.StatusNotImplemented) }) // its client's test says so
	}
	dir := t.TempDir()
	listener := freePort(t)
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q, relativeurls: true}\n", dir, listener)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "serve", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: listener})
	proxy.Transport = &http.Transport{DialContext: dialUntil(10 * time.Second)}
	return proxy
}

// dialUntil tries again for a while, for a server that was just started.
func dialUntil(patience time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		for again := time.NewTicker(20 * time.Millisecond); ; {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				return conn, nil
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				return nil, err
			}
		}
	}
}

// freePort is an address of loopback that was free a moment ago, for a program
// that cannot be handed a listener.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ImageDir makes dir an image of one layer, as skopeo's "dir:" has it.
func ImageDir(t testing.TB, dir string) {
	t.Helper()
	layer := []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x62\x18\x05\xa3\x60\x14\x8c\x58\x00\x08\x00\x00\xff\xff\x2e\xaf\xb5\xef\x00\x04\x00\x00") // 1024 zeros: an empty archive
	sum := func(data []byte) string { s := sha256.Sum256(data); return hex.EncodeToString(s[:]) }
	config := []byte(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:` + sum(make([]byte, 1024)) + `"]}}`)
	descriptor := func(kind string, data []byte) string {
		return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.%s","size":%d,"digest":"sha256:%s"}`, kind, len(data), sum(data))
	}
	manifest := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":` + descriptor("config.v1+json", config) +
		`,"layers":[` + descriptor("layer.v1.tar+gzip", layer) + `]}`)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"version": []byte("Directory Transport Version: 1.1\n"), "manifest.json": manifest, sum(config): config, sum(layer): layer} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil { //nolint:gosec // G306: an image
			t.Fatal(err)
		}
	}
}
