package gateway

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/test/engine"
)

// TestRealClientsInspected runs the programs that agents use through a gateway
// that sees into TLS, against a server of ours.
func TestRealClientsInspected(t *testing.T) {
	backend := gitBackend(t)
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"))
	root := filepath.Join(t.TempDir(), "root.pem")
	// The authority's certificate, as a bottle's bundle has it.
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.authority.Raw})
	if err := os.WriteFile(root, data, 0o644); err != nil { //nolint:gosec // G306: a certificate
		t.Fatal(err)
	}
	f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/git/") {
			backend.ServeHTTP(w, r)
			return
		}
		echo(w, r)
	})
	_, port, err := net.SplitHostPort(f.tls)
	if err != nil {
		t.Fatal(err)
	}
	repository := filepath.Join(t.TempDir(), "clone")
	env := append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.Contains(strings.ToLower(v), "_proxy=") }),
		"https_proxy=http://"+f.proxy, "SSL_CERT_FILE="+root, "CURL_CA_BUNDLE="+root, "GIT_SSL_CAINFO="+root,
		"REQUESTS_CA_BUNDLE="+root, "NODE_EXTRA_CA_CERTS="+root, "HOME="+t.TempDir(), "GIT_CONFIG_NOSYSTEM=1",
		"ROOT="+root, "PORT="+port, "TLS="+f.tls, "CLONE="+repository,
		"GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@a.example", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@a.example")
	for _, client := range []struct{ name, script, want string }{
		{"curl, HTTP/1.1", `curl -sS --http1.1 -w ' %{http_version}' https://a.example/x`, `GET a.example /x "" 1.1`},
		{"curl, HTTP/2", `curl -sS --http2 -w ' %{http_version}' https://a.example/x`, `GET a.example /x "" 2`},
		{"curl, SNI", `unset https_proxy; curl -sS -w ' %{http_version}' --connect-to a.example:443:$TLS https://a.example/x`, `GET a.example /x "" 2`},
		{"curl, upload", `head -c 300000 /dev/zero | curl -sS -T - https://a.example/up | wc -c`, "1200020"},
		{"curl, refused", `curl -sS -H 'Host: b.example' https://a.example/`, "the request is for another name"},
		{"wget", `wget -qO- --ca-certificate=$ROOT https://a.example/x`, `GET a.example /x ""`},
		{"openssl", `printf 'GET /x HTTP/1.0\r\nHost: a.example\r\n\r\n' | openssl s_client -quiet -verify_return_error -servername a.example -connect $TLS -CAfile $ROOT 2>&1`, `GET a.example /x ""`},
		{"git clone", `git clone -q https://a.example/git/repo.git $CLONE 2>&1; ls $CLONE`, "file"},
		// Below http.postBuffer: what is larger may hang in git before 2.44, when curl asks for more after the end.
		{"git push", `cd $CLONE && head -c 3000000 /dev/urandom > big && git add big && git commit -qm big && git -c http.postBuffer=8m push -q origin HEAD 2>&1 && git ls-remote origin HEAD | cut -c1-40 | grep -q $(git rev-parse HEAD) && echo pushed`, "pushed"},
		{"python", `python3 -c 'import urllib.request as u; print(u.urlopen("https://a.example/x").read().decode())'`, `GET a.example /x ""`},
		{"python requests", `python3 -c 'import requests; print(requests.get("https://a.example/x").text)' 2>&1`, `GET a.example /x ""`},
		{"node, SNI", `node -e 'require("https").get({host: "127.0.0.1", port: process.env.PORT, servername: "a.example", path: "/x", headers: {Host: "a.example"}}, r => r.on("data", d => process.stdout.write(d)))'`, `GET a.example /x ""`},
		{"node, HTTP/2", `node -e 'const c = require("http2").connect("https://a.example", {createConnection: () => require("tls").connect({host: "127.0.0.1", port: process.env.PORT, servername: "a.example", ALPNProtocols: ["h2"]})}); const s = c.request({":path": "/x"}); s.on("data", d => process.stdout.write(d)); s.on("end", () => c.close()); s.end()'`, `GET a.example /x ""`},
	} {
		t.Run(client.name, func(t *testing.T) {
			program, _, _ := strings.Cut(client.name, " ")
			program = strings.TrimSuffix(program, ",")
			if program == "python" {
				program = "python3"
			}
			engine.Tool(t, program)
			cmd := exec.CommandContext(t.Context(), "sh", "-c", client.script)
			cmd.Env = env
			out, err := cmd.CombinedOutput()
			if strings.Contains(string(out), "No module named") {
				engine.Missing(t, engine.PartTools, string(out))
			}
			if err != nil || !strings.Contains(string(out), client.want) {
				t.Errorf("%v\n%s\nwant %s", err, out, client.want)
			}
		})
	}
	e := f.eventually("the push's line", func(e audit.Event) bool {
		return e.Kind == policy.HTTPS && e.Path == "/git/repo.git/git-receive-pack" && e.Phase == audit.Close && e.Method == "POST" && e.Sent > 3000000
	})
	if e.Decision != audit.Allowed {
		t.Errorf("%+v", e)
	}
}

// gitBackend serves a bare repository over HTTP, as git's own server does.
func gitBackend(t *testing.T) http.Handler {
	t.Helper()
	dir := t.TempDir()
	script := `set -e; git init -q --bare -b main "$0/repo.git"; git -C "$0/repo.git" config http.receivepack true
git init -q -b main "$0/work"; cd "$0/work"; echo x > file; git add file; git -c user.name=x -c user.email=x@a.example commit -qm first
git push -q "$0/repo.git" main; git --exec-path`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, dir)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"), Root: "/git",
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
	}
}
