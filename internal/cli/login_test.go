//go:build linux

package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/test/keyring"
)

const loginManifest = `
bottles: {b: {}}
agents: {dev: {bottle: b}}
`

// stored is what the file of secrets holds; empty when there is none.
func (p place) stored(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.state, "claude-bottle", "secrets.json"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

// TestLoginInABottle: the harness's own login runs in a bottle that leaves no
// trace, and what it prints is kept, unless the screen may have cut it.
func TestLoginInABottle(t *testing.T) {
	long := strings.Repeat("long-", 14) + "0123456789"
	for name, test := range map[string]struct{ code, token string }{
		"in a line":        {"short-token-0123456789", "short-token-0123456789"},
		"in a long line":   {long, long},
		"cut into lines":   {long[:63] + `\n  ` + long[63:], long},
		"cut or not":       {long[:63] + `\nis the token`, ""},
		"a text behind it": {"short-token-0123456789" + `\nis the token`, "short-token-0123456789"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, loginManifest)
			p.env = append(p.env, "CLAUDE_BOTTLE_OAUTH_TOKEN=sk-ant-oat01-of-the-environment")
			c := p.console(t, "login", "--platform", "signing-in")
			c.expect("harness        : claude: sh")
			c.expect("launch this agent? [y/N]")
			c.types("y\r")
			c.expect("Open https://login.example/authorize?code=true")
			c.expect("Paste the code: ")
			c.types(test.code + "\r")
			if test.token == "" { // it is asked for, and pasted as it is copied from a screen
				test.token = long
				c.expect("the token could not be read off the screen")
				c.expect("token or API key: ")
				c.types("sk-ant-oat01-" + long[:20] + "\r " + long[20:40] + " \n\r" + long[40:] + "\r")
			}
			c.expect("CLAUDE_BOTTLE_OAUTH_TOKEN is kept in")
			c.expect("warning: CLAUDE_BOTTLE_OAUTH_TOKEN is set in your environment")
			c.ends(0)
			if got := p.stored(t); !strings.Contains(got, `"sk-ant-oat01-`+test.token+`"`) {
				t.Errorf("stored: %s", got)
			}
			runs, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "runs", "[^.]*"))
			if err != nil || len(runs) > 0 {
				t.Errorf("runs: %v, %v", runs, err)
			}
		})
	}
}

// TestLoginRefused: whoever says no has made nothing.
func TestLoginRefused(t *testing.T) {
	p := newPlace(t, loginManifest)
	c := p.console(t, "login", "--platform", "signing-in")
	c.expect("launch this agent? [y/N]")
	c.types("\r")
	c.expect("aborted by user")
	c.ends(0)
	if got := p.stored(t); got != "" {
		t.Errorf("stored: %s", got)
	}
}

// TestLoginInTheKeychain: start takes it from there, once the plan was agreed
// to, and no file holds it.
func TestLoginInTheKeychain(t *testing.T) {
	p := newPlace(t, loginManifest)
	for _, variable := range keyring.Start(t) {
		if !strings.HasPrefix(variable, "HOME=") {
			p.env = append(p.env, variable)
		}
	}
	const token = "sk-ant-oat01-of-the-keychain-0123456789"
	login := p.command(t, "login")
	login.Stdin = strings.NewReader(token + "\n")
	out, err := login.CombinedOutput()
	wantCode(t, login, err, 0)
	if string(out) != "claude-bottle: CLAUDE_BOTTLE_OAUTH_TOKEN is kept in the keychain of your session\n" || p.stored(t) != "" {
		t.Errorf("%s %s", out, p.stored(t))
	}
	start := p.command(t, "start", "dev", "--yes", "--platform", "showing")
	said, err := start.Output()
	wantCode(t, start, err, 0)
	if string(said) != "token "+token+" key  same \n" {
		t.Errorf("%s", said)
	}
	logout := p.command(t, "logout")
	out, err = logout.CombinedOutput()
	wantCode(t, logout, err, 0)
	if !strings.Contains(string(out), "is no longer in the keychain of your session") {
		t.Errorf("%s", out)
	}
}

// TestLoginOfAProject: a project's manifest has no say in who sees the login,
// not even one that is trusted.
func TestLoginOfAProject(t *testing.T) {
	p := newPlace(t, loginManifest)
	write(t, p.project+"/claude-bottle.yaml", `
bottles: {b: {egress: {proxy: "http://proxy.example:3128", resolve: {claude.ai: 203.0.113.9}, allowlist: [evil.example]}}}
agents: {theirs: {bottle: b}}
`)
	c := p.console(t, "login", "dev", "--platform", "signing-in")
	c.expect("launch this agent? [y/N]")
	c.types("\r")
	c.ends(0)
	for _, theirs := range []string{"proxy.example", "evil.example"} {
		if strings.Contains(c.screen(), theirs) {
			t.Errorf("the plan has %s:\n%s", theirs, c.screen())
		}
	}
	c = p.console(t, "login", "theirs", "--platform", "signing-in")
	c.expect("theirs")
	c.ends(2)
}

// TestAskedForAToken: the last source is the person, unless the agent goes to
// another server.
func TestAskedForAToken(t *testing.T) {
	p := newPlace(t, `
bottles: {b: {}, local: {env: {ANTHROPIC_BASE_URL: "http://model.example"}}}
agents: {dev: {bottle: b}, other: {bottle: local}}
`)
	c := p.console(t, "start", "dev", "--platform", "showing")
	c.expect("launch this agent? [y/N]")
	c.types("y\r")
	c.expect("token of the harness claude; `claude-bottle login` keeps one (CLAUDE_CODE_OAUTH_TOKEN): ")
	c.types("typed-token\r")
	c.expect("token typed-token key")
	c.ends(0)
	c = p.console(t, "start", "other", "--platform", "showing")
	c.expect("no credential")
	c.expect("launch this agent? [y/N]")
	c.types("\r")
	c.ends(0)
}
