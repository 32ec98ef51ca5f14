package gateway

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
	"claude-bottle/test/engine"
)

// TestRealClientsBrokered runs the programs that agents use with placeholders,
// each against a server that takes the real credential only.
func TestRealClientsBrokered(t *testing.T) {
	w := newWorld()
	secrets := map[string]policy.Secret{
		"BEARER":      {Hosts: []string{"bearer.example"}},
		"HEADER":      {Hosts: []string{"header.example"}, Header: "X-Api-Key"},
		"QUERY":       {Hosts: []string{"query.example"}, Query: "appid"},
		"BASIC":       {Hosts: []string{"basic.example"}},
		"GIT_TOKEN":   {Hosts: []string{"git.example"}, Paths: []string{"/git/repo.git/**"}},
		"GH_TOKEN":    {Hosts: []string{"api.github.com"}, Paths: []string{"/user", "/repos/acme/**"}},
		"NPM_TOKEN":   {Hosts: []string{"npm.example"}},
		"PIP_TOKEN":   {Hosts: []string{"pypi.example"}},
		"TWINE_TOKEN": {Hosts: []string{"upload.example"}, Paths: []string{"/legacy/"}},
		"IMAGE_TOKEN": {Hosts: []string{"registry.example"}},

		"AWS_SECRET_ACCESS_KEY": {Hosts: []string{"*.amazonaws.com"}, SigV4: true},
	}
	c := newClients(t, w, secrets)
	c.origin("bearer.example", checks(c.values["BEARER"]))
	c.origin("header.example", c.wants("HEADER", func(r *http.Request) string { return r.Header.Get("X-Api-Key") }, ok))
	c.origin("query.example", c.wants("QUERY", func(r *http.Request) string { return r.URL.Query().Get("appid") }, ok))
	c.origin("basic.example", c.wants("BASIC", password, ok))
	c.origin("git.example", c.wants("GIT_TOKEN", password, gitBackend(t).ServeHTTP))
	c.origin("api.github.com", c.wants("GH_TOKEN", afterScheme, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"login": "acme", "path": %q}`, r.URL.Path)
	}))
	c.origin("npm.example", c.wants("NPM_TOKEN", afterScheme, npmRegistry(t)))
	c.origin("pypi.example", c.wants("PIP_TOKEN", password, pypiIndex(t)))
	c.origin("upload.example", c.wants("TWINE_TOKEN", password, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	c.origin("registry.example", c.wants("IMAGE_TOKEN", password, imageRegistry(t)))
	c.aws(t, "dynamodb.eu-west-1.amazonaws.com", `{"TableNames": ["table-of-acme"]}`)
	c.aws(t, "acme.s3.eu-west-1.amazonaws.com", ``)
	for _, client := range []struct{ name, script, want string }{
		{"curl, bearer", `curl -sS --oauth2-bearer $BEARER https://bearer.example/x`, "GET /x, welcome"},
		{"curl, bearer, HTTP/1.1", `curl -sS --http1.1 -H "Authorization: Bearer $BEARER" -d a=b https://bearer.example/x`, "POST /x, welcome"},
		{"curl, header", `curl -sS -H "X-Api-Key: $HEADER" https://header.example/`, "welcome"},
		{"curl, query", `curl -sS "https://query.example/weather?q=x&appid=$QUERY"`, "welcome"},
		{"curl, basic", `curl -sS -u "me:$BASIC" https://basic.example/`, "welcome"},
		{"curl, netrc", `printf 'machine basic.example login me password %s\n' "$BASIC" > $HOME/.netrc; curl -sS -n https://basic.example/`, "welcome"},
		{"curl, any", `curl -sS --anyauth -u "me:$BASIC" https://basic.example/`, "welcome"},
		{"curl, the wrong token", `curl -sS -H "Authorization: Bearer ${BEARER}x" https://bearer.example/`, "rule: secret BEARER"},
		{"git clone", `git -c credential.helper="$HELPER" clone -q https://git.example/git/repo.git $CLONE 2>&1; ls $CLONE`, "file"},
		{"git push", `cd $CLONE && head -c 300000 /dev/urandom > big && git add big && git commit -qm big && git -c credential.helper="$HELPER" push -q origin HEAD 2>&1 &&
			git -c credential.helper="$HELPER" ls-remote origin HEAD | grep -q $(git rev-parse HEAD) && echo pushed`, "pushed"},
		{"git, a URL", `git ls-remote https://me:$GIT_TOKEN@git.example/git/repo.git HEAD`, "HEAD"},
		{"git, extra header", `git -c http.extraHeader="Authorization: Basic $(printf me:%s "$GIT_TOKEN" | base64 -w0)" ls-remote https://git.example/git/repo.git HEAD`, "HEAD"},
		{"git, another repository", `git -c credential.helper="$HELPER" ls-remote https://git.example/git/other.git 2>&1 || true`, "403"},
		{"gh", `gh api user`, `"login": "acme"`},
		{"gh, its own paths", `gh api repos/acme/web/pulls`, `/repos/acme/web/pulls`},
		{"gh, other paths", `gh api repos/evil/web 2>&1 || true`, `403`},
		{"npm publish", `mkdir $HOME/p && cd $HOME/p && echo '{"name": "acme-web", "version": "1.0.0"}' > package.json &&
			printf 'registry=https://npm.example/\n//npm.example/:_authToken=${NPM_TOKEN}\nupdate-notifier=false\n' > .npmrc && npm publish 2>&1 && npm view acme-web version 2>&1`, "+ acme-web@1.0.0"},
		{"pip3", `pip3 download --disable-pip-version-check --no-deps -q -d $HOME/d --index-url "https://me:$PIP_TOKEN@pypi.example/simple/" acme 2>&1; ls $HOME/d`, "acme-1.0-py3-none-any.whl"},
		{"twine", `twine upload --non-interactive --repository-url https://upload.example/legacy/ -u __token__ -p "$TWINE_TOKEN" $WHEEL 2>&1`, "100%"},
		{"skopeo push", `skopeo copy -q --insecure-policy --dest-creds "me:$IMAGE_TOKEN" dir:$IMAGE docker://registry.example/acme/web:1 2>&1 &&
			skopeo inspect --creds "me:$IMAGE_TOKEN" docker://registry.example/acme/web:1 2>&1`, `"Name": "registry.example/acme/web"`},
		{"skopeo, docker's configuration", `mkdir -p $HOME/.docker && printf '{"auths": {"registry.example": {"auth": "%s"}}}' $(printf me:%s "$IMAGE_TOKEN" | base64 -w0) > $HOME/.docker/config.json &&
			skopeo inspect docker://registry.example/acme/web:1 2>&1`, `"Name": "registry.example/acme/web"`},
		{"aws, JSON", `aws dynamodb list-tables 2>&1`, "table-of-acme"},
		{"aws, S3", `head -c 100000 /dev/zero > $HOME/zeros && aws s3 cp $HOME/zeros s3://acme/zeros --no-progress 2>&1`, "upload: "},
	} {
		t.Run(client.name, func(t *testing.T) {
			program, _, _ := strings.Cut(strings.ReplaceAll(client.name, ",", ""), " ")
			engine.Tool(t, program)
			cmd := exec.CommandContext(t.Context(), "sh", "-c", client.script)
			cmd.Env = c.env
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), client.want) {
				t.Errorf("%v\n%s\nwant %s\nthe record ends with %+v", err, out, client.want, last(c.events()))
			}
			for name, value := range c.values {
				if bytes.Contains(out, []byte(value)) {
					t.Errorf("the client has %s", name)
				}
			}
		})
	}
}

// clients is a gateway with secrets, and the environment of the programs that
// use it.
type clients struct {
	*brokered
	world *world
	env   []string
	keyID string
	token string
}

func newClients(t *testing.T, w *world, terms map[string]policy.Secret) *clients {
	t.Helper()
	c := &clients{world: w}
	var held []broker.Secret
	for name, use := range terms {
		use.Name = name
		s := secretFor(t, use)
		c.env = append(c.env, name+"="+s.Placeholder)
		if use.SigV4 {
			c.env = append(c.env, "AWS_ACCESS_KEY_ID="+s.KeyID.Placeholder, "AWS_SESSION_TOKEN="+s.Token.Placeholder)
			c.keyID, c.token = s.KeyID.Value, s.Token.Value
		}
		held = append(held, s)
	}
	c.brokered = brokerWorld(t, w, policy.Egress{}, held...)
	dir := t.TempDir()
	root := filepath.Join(dir, "root.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.authority.Raw})
	wheel, image := filepath.Join(dir, "acme-1.0-py3-none-any.whl"), filepath.Join(dir, "image")
	for path, data := range map[string][]byte{root: data, wheel: wheelFile(t)} {
		if err := os.WriteFile(path, data, 0o644); err != nil { //nolint:gosec // G306: no secrets
			t.Fatal(err)
		}
	}
	imageDir(t, image)
	plain := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(strings.ToLower(v), "=")
		return strings.HasSuffix(name, "_proxy") || strings.HasPrefix(name, "npm_") || strings.HasPrefix(name, "pip_") ||
			strings.HasPrefix(name, "aws_") || strings.HasPrefix(name, "gh_") || strings.HasPrefix(name, "github_")
	})
	c.env = append(plain, append(c.env,
		"https_proxy=http://"+c.proxy, "HTTPS_PROXY=http://"+c.proxy, "HOME="+dir, "XDG_RUNTIME_DIR="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"SSL_CERT_FILE="+root, "CURL_CA_BUNDLE="+root, "GIT_SSL_CAINFO="+root, "REQUESTS_CA_BUNDLE="+root, "PIP_CERT="+root,
		"NODE_EXTRA_CA_CERTS="+root, "AWS_CA_BUNDLE="+root, "AWS_EC2_METADATA_DISABLED=true", "AWS_DEFAULT_REGION=eu-west-1", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1",
		"npm_config_cafile="+root, "npm_config_fetch_retries=0", // whatever the machine's own npm is told
		"GH_NO_UPDATE_NOTIFIER=1", "NO_UPDATE_NOTIFIER=1", "PIP_CONFIG_FILE=/dev/null",
		`HELPER=!f() { echo username=me; echo "password=$GIT_TOKEN"; }; f`,
		"CLONE="+filepath.Join(dir, "clone"), "WHEEL="+wheel, "IMAGE="+image,
		"GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@a.example", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@a.example")...)
	return c
}

func (c *clients) origin(name string, serve http.HandlerFunc) { c.serve(c.world, name, serve) }

// wants serves whoever brings the secret, and refuses everybody else.
func (c *clients) wants(name string, credential func(*http.Request) string, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if credential(r) != c.values[name] {
			w.Header().Set("WWW-Authenticate", `Basic realm="origin"`)
			http.Error(w, "the origin knows nobody by this", http.StatusUnauthorized)
			return
		}
		serve(w, r)
	}
}

func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "welcome") }

func password(r *http.Request) string {
	_, password, _ := r.BasicAuth()
	return password
}

func afterScheme(r *http.Request) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token
}

// npmRegistry takes packages and hands them out.
func npmRegistry(t *testing.T) http.HandlerFunc {
	t.Helper()
	var mu sync.Mutex
	documents := map[string][]byte{}
	return func(w http.ResponseWriter, r *http.Request) {
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
	}
}

// pypiIndex hands out one wheel (PEP 503).
func pypiIndex(t *testing.T) http.HandlerFunc {
	t.Helper()
	wheel := wheelFile(t)
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/simple/acme/":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<a href="/files/acme-1.0-py3-none-any.whl">acme-1.0-py3-none-any.whl</a>`)
		case "/files/acme-1.0-py3-none-any.whl":
			_, _ = w.Write(wheel)
		default:
			http.NotFound(w, r)
		}
	}
}

// wheelFile is an empty wheel (PEP 427).
func wheelFile(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, file := range [][2]string{
		{"acme/__init__.py", ""},
		{"acme-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n"},
		{"acme-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{"acme-1.0.dist-info/RECORD", "acme/__init__.py,,\nacme-1.0.dist-info/METADATA,,\nacme-1.0.dist-info/WHEEL,,\nacme-1.0.dist-info/RECORD,,\n"},
	} {
		w, err := z.Create(file[0])
		if err == nil {
			_, err = io.WriteString(w, file[1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// imageRegistry is Debian's docker-registry, behind the check of who asks.
func imageRegistry(t *testing.T) http.HandlerFunc {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, err.Error(), http.StatusNotImplemented) } // its client's test says so
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
	waitFor(t, "the registry", func() bool {
		conn, err := connect(t, "tcp", listener)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: listener}).ServeHTTP
}

// imageDir is an image of one layer, as skopeo's "dir:" has it.
func imageDir(t *testing.T, dir string) {
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

// aws serves whoever signs with the real key, as AWS's own library finds.
func (c *clients) aws(t *testing.T, host, answer string) {
	t.Helper()
	c.origin(host, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := c.signedByAWS(r, body); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Fprint(w, answer)
	})
}

// verifySigV4 signs a request anew with botocore and prints the signature.
const verifySigV4 = `
import base64, json, sys
sys.path.append("/usr/lib/python3/dist-packages/awscli") # where Debian has it
from botocore.auth import SigV4Auth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
q = json.load(sys.stdin)
auth = (S3SigV4Auth if q["service"] == "s3" else SigV4Auth)(Credentials(q["key"], q["secret"], q["token"]), q["service"], q["region"])
request = AWSRequest(method=q["method"], url=q["url"], data=base64.b64decode(q["body"]), headers=q["headers"])
request.context["timestamp"] = q["date"]
canonical = auth.canonical_request(request)
print(auth.signature(auth.string_to_sign(request, canonical), request))
`

func (c *clients) signedByAWS(r *http.Request, body []byte) error {
	rest, found := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+c.keyID+"/")
	scope, signature, signed := strings.Cut(rest, ", SignedHeaders=")
	names, signature, _ := strings.Cut(signature, ", Signature=")
	parts := strings.Split(scope, "/")
	if !found || !signed || len(parts) != 4 {
		return fmt.Errorf("not signed with the real key's ID")
	}
	if r.Header.Get("X-Amz-Security-Token") != c.token {
		return fmt.Errorf("not the real session token")
	}
	headers := map[string]string{}
	for name := range strings.SplitSeq(names, ";") {
		if headers[name] = r.Header.Get(name); name == "host" {
			headers[name] = r.Host
		}
	}
	input, err := json.Marshal(map[string]any{
		"method": r.Method, "url": "https://" + r.Host + r.RequestURI, "headers": headers, "date": r.Header.Get("X-Amz-Date"),
		"key": c.keyID, "secret": c.values["AWS_SECRET_ACCESS_KEY"], "token": c.token, "region": parts[1], "service": parts[2],
		"body": base64.StdEncoding.EncodeToString(body),
	})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(r.Context(), "python3", "-c", verifySigV4)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("botocore: %w\n%s", err, out)
	}
	if strings.TrimSpace(string(out)) != signature {
		return fmt.Errorf("botocore signs this with %s, and it came with %s", out, signature)
	}
	return nil
}

// last is the last event that was refused.
func last(events []audit.Event) audit.Event {
	for _, e := range slices.Backward(events) {
		if e.Decision != audit.Allowed {
			return e
		}
	}
	return audit.Event{}
}
