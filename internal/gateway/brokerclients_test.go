package gateway

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
	"claude-bottle/test/engine"
	"claude-bottle/test/origins"
)

// TestRealClientsBrokered runs the programs that agents use with placeholders,
// each against a server that takes the real credential only.
func TestRealClientsBrokered(t *testing.T) {
	engine.Long(t)
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
	c.origin("npm.example", c.wants("NPM_TOKEN", afterScheme, origins.Publishing().ServeHTTP))
	c.origin("pypi.example", c.wants("PIP_TOKEN", password, origins.PrivateIndex(t).ServeHTTP))
	c.origin("upload.example", c.wants("TWINE_TOKEN", password, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	c.origin("registry.example", c.wants("IMAGE_TOKEN", password, origins.Images(t).ServeHTTP))
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
	for path, data := range map[string][]byte{root: data, wheel: origins.Wheel(t)} {
		if err := os.WriteFile(path, data, 0o644); err != nil { //nolint:gosec // G306: no secrets
			t.Fatal(err)
		}
	}
	origins.ImageDir(t, image)
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

// aws serves whoever signs with the real key, as AWS's own library finds.
func (c *clients) aws(t *testing.T, host, answer string) {
	t.Helper()
	c.origin(host, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		key := origins.AWSKey{ID: c.keyID, Secret: c.values["AWS_SECRET_ACCESS_KEY"], Token: c.token}
		if err := key.Signed(r, body); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Fprint(w, answer)
	})
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
