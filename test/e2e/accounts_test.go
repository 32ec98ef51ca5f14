package e2e_test

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/test/engine"
	"claude-bottle/test/origins"
)

// accountsScript runs each client and prints a line `NAME: what it said`.
//
//go:embed testdata/accounts.sh
var accountsScript string

// welcomed is what the clients of accountsScript say that every image of ours
// has, where the servers get the real credentials.
var welcomed = map[string]string{
	"curl":      "GET /x, welcome",
	"curl1":     "POST /x, welcome",
	"wrong":     "secret BEARER",
	"elsewhere": "secret BEARER",
	"clone":     "hello from git",
	"push":      "pushed",
	"npm":       "+ acme-web@1.0.0 1.0.0",
	"python":    "GET /y, welcome",
}

// welcomedHere is what the others say, which this machine has.
var welcomedHere = map[string]string{
	"header":   "GET /, welcome",
	"query":    "GET /weather, welcome",
	"basic":    "GET /, welcome",
	"netrc":    "GET /, welcome",
	"any":      "GET /, welcome",
	"gh":       `{"login": "acme", "path": "/user"}`,
	"ghpaths":  `{"login": "acme", "path": "/repos/acme/web/pulls"}`,
	"ghothers": "403",
	"pip":      "acme-1.0-py3-none-any.whl",
	"twine":    "Uploading distributions to https://upload.account.test/legacy/",
	"skopeo":   `"Name": "images.account.test/acme/web",`,
	"aws":      "TABLENAMES table-of-acme",
	"s3":       "upload: ./zeros to s3://acme/zeros",
}

// account is how a variable of the bottle is brokered.
type account struct {
	name, variable string
	more           string // of its entry
}

var accounts = []account{
	{origins.Bearer, "BEARER", ""},
	{origins.Git, "GIT_TOKEN", ", paths: [/git/hello.git/**]"},
	{origins.Npm, "NPM_TOKEN", ""},
}

var accountsHere = append(slices.Clip(accounts), []account{
	{origins.Header, "HEADER", ", header: X-Api-Key"},
	{origins.Query, "QUERY", ", query: appid"},
	{origins.GitHub, "GH_TOKEN", `, paths: [/user, "/repos/acme/**"]`},
	{origins.Index, "PIP_TOKEN", ""},
	{origins.Upload, "TWINE_PASSWORD", ", paths: [/legacy/]"},
	{origins.Image, "IMAGE_TOKEN", ""},
}...)

// TestBrokeredClients: the programs that agents use work in a bottle that
// holds placeholders alone, towards servers that take the real credentials
// only, and with every scan on; and nothing inside has one.
func TestBrokeredClients(t *testing.T) {
	engine.Long(t)
	for _, program := range []string{"bwrap", "curl", "gh", "twine", "skopeo", "docker-registry", "aws", "python3"} {
		engine.Tool(t, program)
	}
	a := origins.StartAccounts(t)
	p := newAccountsPerson(t)
	env := entries(a, accountsHere) + fmt.Sprintf(`      BASIC: {secret: {command: [cat, basic]}, hosts: [%s]}
      AWS_SECRET_ACCESS_KEY:
        secret: ${REAL_AWS_SECRET}
        hosts: ["*.amazonaws.com"]
        sigv4: {key_id: "${REAL_AWS_ID}", session_token: "${REAL_AWS_TOKEN}"}
      AWS_EC2_METADATA_DISABLED: "true"
      AWS_DEFAULT_REGION: eu-west-1
      AWS_MAX_ATTEMPTS: "1"
      GH_NO_UPDATE_NOTIFIER: "1"
      ALL: "1"
`, origins.Basic)
	names := slices.Concat(names(accountsHere), []string{origins.Basic, origins.Dynamo, origins.S3})
	p.accounts(a, env, a.Egress(names...), "")
	if err := os.WriteFile(filepath.Join(p.home, "basic"), []byte(a.Values[origins.Basic]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "REAL_AWS_SECRET="+a.Key.Secret, "REAL_AWS_ID="+a.Key.ID, "REAL_AWS_TOKEN="+a.Key.Token)
	want := maps.Clone(welcomed)
	maps.Copy(want, welcomedHere)
	p.clients(t, a, names, "native", want)
}

// TestBrokeredClientsInContainers is the same on docker, for what the image of the
// recipe has.
func TestBrokeredClientsInContainers(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, "", shell)
		p.start("--", "true") // makes the image, if none was made yet
		p.env = append(p.env, "CLAUDE_BOTTLE_IMAGE=claude-bottle:latest")
		listener, err := p.server.Beside(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a := origins.ServeAccounts(t, listener)
		p.fill(t)
		p.accounts(a, entries(a, accounts), a.Egress(names(accounts)...), "    isolation: "+isolation+"\n")
		p.clients(t, a, names(accounts), "docker", welcomed)
	})
}

// newAccountsPerson works without an engine.
func newAccountsPerson(t *testing.T) *person {
	t.Helper()
	binary, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(shared.dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, binary: binary, home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), project: filepath.Join(dir, "project")}
	for _, dir := range []string{shared.dir, dir, p.home, p.state, p.project} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // G302: others work in it
			t.Fatal(err)
		}
	}
	p.env = p.plainEnv()
	p.fill(t)
	return p
}

func names(accounts []account) (names []string) {
	for _, account := range accounts {
		names = append(names, account.name)
	}
	return names
}

// entries are those of a manifest.
func entries(a *origins.Accounts, accounts []account) string {
	var b strings.Builder
	for _, account := range accounts {
		fmt.Fprintf(&b, "      %s: {secret: \"${REAL_%[1]s}\", hosts: [\"%s\"]%s}\n", account.variable, a.At(account.name), account.more)
	}
	return b.String()
}

// accounts writes a manifest in which all that leaves is scanned, strictly.
func (p *person) accounts(a *origins.Accounts, env, egress, more string) {
	p.t.Helper()
	text := fmt.Sprintf(`bottles:
  guarded:
    scan: {mode: block, canary: true}
%s    env:
      BEARER_AT: %q
      GIT_AT: %q
      NPM_AT: %q
%s    egress:
%sagents:
  guarded: {bottle: guarded, harness: {command: [bash, -c]}}
`, more, a.At(origins.Bearer), a.At(origins.Git), a.At(origins.Npm), env, egress)
	for name, content := range map[string]string{"claude-bottle.yaml": text, "roots.pem": a.Roots} {
		if err := os.WriteFile(filepath.Join(p.home, name), []byte(content), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, account := range accountsHere {
		p.env = append(p.env, "REAL_"+account.variable+"="+a.Values[account.name])
	}
}

// fill gives the project what the clients send.
func (p *person) fill(t *testing.T) {
	t.Helper()
	origins.ImageDir(t, filepath.Join(p.project, "image"))
	source := filepath.Join(p.project, "source")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{
		filepath.Join(p.project, "acme-1.0-py3-none-any.whl"): origins.Wheel(t),
		// What looks like a secret, and is none of the run's.
		filepath.Join(source, "package-lock.json"): []byte(`{"integrity": "sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg=="}`),
		filepath.Join(source, "ids.txt"):           []byte("6ba7b810-9dad-11d1-80b4-00c04fd430c8 da39a3ee5e6b4b0d3255bfef95601890afd80709\n"),
		filepath.Join(source, "readme.md"):         []byte("Set `TOKEN` to your token, as in `TOKEN=xxxxxxxxxxxxxxxxxxxxxxxx make`.\n"),
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // G306: it is copied
			t.Fatal(err)
		}
	}
}

// clients runs the script, searches the bottle before it ends, and wants no
// secret anywhere and no request that came without the right one.
func (p *person) clients(t *testing.T, a *origins.Accounts, servers []string, platform string, want map[string]string) {
	t.Helper()
	got := p.searched(t, a.Secrets(), []string{"start", "guarded", "--platform", platform, "--cwd", "--yes", "--"}, "export WORKSPACE=$PWD\n("+accountsScript+")\n")
	said := map[string]string{}
	for line := range strings.Lines(got.stdout) {
		name, what, _ := strings.Cut(line, ": ")
		said[name] = strings.TrimSpace(what)
	}
	for client, want := range want {
		if said[client] != want {
			t.Errorf("%s: %q, want %q", client, said[client], want)
		}
	}
	served, refused := a.Saw()
	for _, request := range refused {
		t.Errorf("a server got a request with another credential: %s", request)
	}
	for _, server := range servers {
		if served[server] == 0 {
			t.Errorf("%s served nobody", server)
		}
	}
	for _, e := range p.lastRecord() {
		if e.Kind == audit.Found {
			t.Errorf("the scan found %s %s%s: %s", e.Method, e.Host, e.Path, e.Reason)
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s\nthe servers served %v", got.stdout, got.stderr, served)
	}
}
