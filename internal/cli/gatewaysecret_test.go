//go:build linux

package cli_test

import (
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
	"path/filepath"
	"strings"
	"testing"
)

// TestGatewayBrokersByItself: the values come from the environment of the
// gateway, its clients get placeholders, and nothing that it writes has a
// value.
func TestGatewayBrokersByItself(t *testing.T) {
	const value = "ghp_ThisIsTheRealOneAndNobodyShallSeeIt00"
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+value {
			http.Error(w, "who is this?", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "welcome, "+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}))
	origin.StartTLS() // its certificate is for example.com
	defer origin.Close()
	host, port, err := net.SplitHostPort(origin.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, "")
	policy, err := json.Marshal(map[string]any{
		"allow":   []any{map[string]string{"host": "example.com:" + port}},
		"secrets": []any{map[string]any{"name": "TOKEN", "hosts": []string{"example.com:" + port}}},
		"resolve": map[string]string{"example.com": host}, "private": []string{"127.0.0.0/8"},
		"roots": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: origin.Certificate().Raw})),
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.project+"/policy.json", string(policy))
	args := []string{"gateway", "--policy", "policy.json", "--listen", "127.0.0.1:0", "--record", "record.jsonl", "--ca-cert", "ca.pem"}
	for want, more := range map[string][]string{
		"add --placeholders FILE": nil, "not set: TOKEN": {"--placeholders", "placeholders.env"},
	} {
		if out, err := p.command(t, append(args, more...)...).CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v\n%s", more, err, out)
		}
	}
	cmd := p.command(t, append(args, "--placeholders", "placeholders.env")...)
	cmd.Env = append(cmd.Env, "TOKEN="+value)
	at := served(t, cmd)
	certificate, err := os.ReadFile(filepath.Join(p.project, "ca.pem"))
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(certificate) {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(p.project, "placeholders.env"))
	placeholder, found := strings.CutPrefix(strings.TrimSpace(string(written)), "TOKEN=")
	if err != nil || !found || len(placeholder) != len(value) {
		t.Fatalf("%q %v", written, err)
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: at}), TLSClientConfig: &tls.Config{RootCAs: roots},
	}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com:"+port+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+placeholder)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, _ := io.ReadAll(response.Body); string(body) != "welcome, "+placeholder {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	unserved(t, cmd)
	for _, name := range []string{"record.jsonl", "placeholders.env", "ca.pem", "policy.json"} {
		data, err := os.ReadFile(filepath.Join(p.project, name))
		if err != nil || strings.Contains(string(data), value) {
			t.Errorf("%s: %v, holds the value or is not there", name, err)
		}
	}
}
