package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/test/engine"
	"claude-bottle/test/origins"
)

// setUps are those of docs/secrets.md, in its order: what is run in each, as
// the page says, and what that prints. What is asked for is typed.
var setUps = []struct {
	name, script, want string
	asks, answer       string
}{
	{
		name: "GitHub", script: `gh api user && gh api repos/acme/hello/pulls && git clone -q https://github.com/acme/hello.git . && cat hello &&
		git -c user.name=x -c user.email=x@a.test commit -q --allow-empty -m again && git push -q origin HEAD:again && echo pushed`,
		want: `{"login": "acme", "path": "/user"}{"login": "acme", "path": "/repos/acme/hello/pulls"}hello from git` + "\npushed\n",
	},
	{name: "npm", script: `echo '{"name": "acme-set-up", "version": "1.0.0"}' >package.json &&
		printf 'registry=https://npm.example.com/\n//npm.example.com/:_authToken=${NPM_TOKEN}\nupdate-notifier=false\n' >.npmrc &&
		npm publish 2>/dev/null && npm view acme-set-up version`, want: "+ acme-set-up@1.0.0\n1.0.0\n"},
	{
		name: "PyPI", script: `mkdir dist && cp $WORKSPACE/*.whl dist && twine upload --non-interactive --disable-progress-bar dist/* | sed -n 1p`,
		want: "Uploading distributions to https://upload.pypi.org/legacy/\n",
	},
	{name: "AWS", script: `aws dynamodb list-tables --output text`, want: "TABLENAMES\ttable-of-acme\n"},
	{
		name: "An internal API", script: `curl -sS -H "X-Api-Key: $TRACKER_KEY" https://tracker.corp.example:8443/api/v2/issues/1`,
		want: "GET /api/v2/issues/1, welcome\n", asks: "key of the tracker", answer: origins.Tracker,
	},
}

// TestSetUps types the set-ups of docs/secrets.md, against servers that stand in
// for those that they name and take the real credentials only.
func TestSetUps(t *testing.T) {
	engine.Long(t)
	for _, program := range []string{"bwrap", "curl", "gh", "twine", "aws"} {
		engine.Tool(t, program)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "secrets.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "### Set-ups to paste\n")
	section, _, found := strings.Cut(after, "### What remains")
	blocks := strings.Split(section, "```yaml\n")[1:]
	if !found || len(blocks) != len(setUps) {
		t.Fatalf("the page has %d set-ups, and this test %d", len(blocks), len(setUps))
	}
	a := origins.StartAccounts(t)
	a.Also(t, 8443)
	p := newAccountsPerson(t)
	p.env = append(p.env, "GITHUB_TOKEN="+a.Values[origins.GitHub], "NPM_TOKEN="+a.Values[origins.NpmExample], "PYPI_TOKEN="+a.Values[origins.PyPIUpload],
		"AWS_SECRET_ACCESS_KEY="+a.Key.Secret, "AWS_ACCESS_KEY_ID="+a.Key.ID, "AWS_SESSION_TOKEN="+a.Key.Token)
	for i, setUp := range setUps {
		t.Run(setUp.name, func(t *testing.T) {
			p.t = t
			text, _, _ := strings.Cut(blocks[i], "```")
			p.stoodIn(t, a, text)
			args := []string{"start", "set-up", "--platform", "native", "--cwd", "--yes", "--", "export WORKSPACE=$PWD; cd $(mktemp -d) && " + setUp.script}
			if setUp.asks != "" {
				s := onScreen(t, p.command(args...))
				s.shows(setUp.asks)
				s.types(a.Values[setUp.answer] + "\r")
				s.shows(strings.TrimSpace(setUp.want))
				if code := s.ends(); code != 0 {
					t.Errorf("code %d\n%s", code, s.text())
				}
			} else if got := p.run(args...); got.code != 0 || got.stdout != setUp.want {
				t.Errorf("code %d, stdout %q, want %q\n%s", got.code, got.stdout, setUp.want, got.stderr)
			}
			served, refused := a.Saw()
			if len(refused) > 0 || len(served) == 0 {
				t.Errorf("served %v, and refused %q", served, refused)
			}
			p.secretNowhere(texts(forms(a.Secrets()))...)
		})
	}
}

// stoodIn writes a manifest of the page's, with the addresses of the servers
// that stand in.
func (p *person) stoodIn(t *testing.T, a *origins.Accounts, text string) {
	t.Helper()
	var resolve []string
	for _, name := range origins.StandIns() {
		resolve = append(resolve, name+": "+a.Address.Addr().String())
	}
	text = strings.Replace(text, "      ca: corp-ca.pem\n", "", 1)
	text = strings.Replace(text, "      private: [10.20.0.0/16]\n", "", 1)
	here := fmt.Sprintf("    egress:\n      ca: roots.pem\n      private: [%s/32]\n      resolve: {%s}\n", a.Address.Addr(), strings.Join(resolve, ", "))
	text = strings.Replace(text, "    egress:\n", here, 1) + "agents: {set-up: {bottle: work, harness: {command: [bash, -c]}}}\n"
	for name, content := range map[string]string{"claude-bottle.yaml": text, "roots.pem": a.Roots} {
		if err := os.WriteFile(filepath.Join(p.home, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
