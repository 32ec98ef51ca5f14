//go:build linux

package cli_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

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
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantCode(t, cmd, cmd.Wait(), 0)
	record, err := os.ReadFile(filepath.Join(p.project, "record.jsonl"))
	if err != nil || !strings.Contains(string(record), "other.example") {
		t.Errorf("record: %v\n%s", err, record)
	}
}
