//go:build linux

package cli_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// served starts a gateway, and returns the address that it says it listens on.
func served(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	at, ok := strings.CutPrefix(strings.TrimSpace(line), "claude-bottle: the gateway listens on ")
	if err != nil || !ok {
		t.Fatalf("%q, %v", line, err)
	}
	return at
}

// unserved ends a gateway by a signal, which is success.
func unserved(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantCode(t, cmd, cmd.Wait(), 0)
}

// TestGatewayByItself: the policy that `policy` prints, served by `gateway`.
func TestGatewayByItself(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "from the origin")
	}))
	defer origin.Close()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(origin.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, `
bottles:
  work:
    egress:
      allowlist: ["origin.example:`+port+`"]
      resolve: {origin.example: `+host+`}
      private: [127.0.0.0/8]
agents: {shell: {bottle: work, harness: {command: [bash]}}}
`)
	policy, err := p.command(t, "policy", "shell").Output()
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.project+"/policy.json", string(policy))

	cmd := p.command(t, "gateway", "--policy", "policy.json", "--listen", "127.0.0.1:0", "--record", "record.jsonl")
	at := served(t, cmd)
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: at})}}
	defer client.CloseIdleConnections()
	get := func(target string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if code, body := get("http://origin.example:" + port + "/"); code != http.StatusOK || body != "from the origin" {
		t.Errorf("allowed: %d %q", code, body)
	}
	if code, body := get("http://other.example/"); code != http.StatusForbidden || !strings.Contains(body, "other.example") {
		t.Errorf("refused: %d %q", code, body)
	}
	unserved(t, cmd)
	record, err := os.ReadFile(filepath.Join(p.project, "record.jsonl"))
	if err != nil || !strings.Contains(string(record), "other.example") {
		t.Errorf("record: %v\n%s", err, record)
	}
}

// TestGatewayInspectsByItself: its authority's certificate is in the file, and
// nothing else of it; without a file such a policy is refused.
func TestGatewayInspectsByItself(t *testing.T) {
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path)
	}))
	origin.EnableHTTP2 = true
	origin.StartTLS() // its certificate is for example.com
	defer origin.Close()
	host, port, err := net.SplitHostPort(origin.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, "")
	policy, err := json.Marshal(map[string]any{
		"allow": []any{map[string]string{"host": "example.com:" + port}}, "inspect": "always",
		"resolve": map[string]string{"example.com": host}, "private": []string{"127.0.0.0/8"},
		"roots": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: origin.Certificate().Raw})),
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.project+"/policy.json", string(policy))
	args := []string{"gateway", "--policy", "policy.json", "--listen", "127.0.0.1:0", "--record", "record.jsonl"}
	if out, err := p.command(t, args...).CombinedOutput(); err == nil || !strings.Contains(string(out), "add --ca-cert FILE") {
		t.Errorf("without a file: %v\n%s", err, out)
	}

	cmd := p.command(t, append(args, "--ca-cert", "ca.pem")...)
	at := served(t, cmd)
	certificate, err := os.ReadFile(filepath.Join(p.project, "ca.pem"))
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(certificate) || strings.Contains(string(certificate), "KEY") {
		t.Errorf("the certificate: %v\n%s", err, certificate)
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: at}),
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
	}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com:"+port+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, _ := io.ReadAll(response.Body); string(body) != "GET /x" || response.ProtoMajor != 2 {
		t.Errorf("%s %q", response.Proto, body)
	}
	unserved(t, cmd)
	record, err := os.ReadFile(filepath.Join(p.project, "record.jsonl"))
	if err != nil || !strings.Contains(string(record), `"kind":"https"`) {
		t.Errorf("record: %v\n%s", err, record)
	}
}
