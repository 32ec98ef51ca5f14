//go:build linux

package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/test/keyring"
)

const sourcesManifest = `
bottles:
  b:
    env:
      CLAUDE_CODE_OAUTH_TOKEN: {secret: {keychain: work/claude}, hosts: [api.anthropic.com]}
      KEY: {secret: {command: [pass, show, "work/a key"]}, hosts: [a.example], paths: ["/x"]}
      SAME: {secret: {command: [pass, show, "work/a key"]}, hosts: [a.example], paths: ["/x"]}
agents: {dev: {bottle: b}}
`

// withPass gives a place a program that is called pass: it says each time that
// it was called, and from where.
func (p *place) withPass(t *testing.T, script string) (calls func() string) {
	t.Helper()
	bin := filepath.Join(p.home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(p.home, "calls")
	text := "#!/bin/sh\necho \"$# $* in $(pwd)\" >> " + log + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(bin, "pass"), []byte(text), 0o755); err != nil { //nolint:gosec // G306: it is a program
		t.Fatal(err)
	}
	p.env = append(p.env, "PATH="+bin+":/usr/local/bin:/usr/bin:/bin")
	return func() string {
		said, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(said)
	}
}

// TestSecretSources: a program is run once, in the person's home, and the
// keychain read, once the plan that shows both was agreed to, and not before.
func TestSecretSources(t *testing.T) {
	p := newPlace(t, sourcesManifest)
	calls := p.withPass(t, `printf 's3cret-of-pass\n'`)
	session := keyring.Start(t)
	for _, variable := range session {
		if !strings.HasPrefix(variable, "HOME=") {
			p.env = append(p.env, variable)
		}
	}
	store := exec.CommandContext(t.Context(), "secret-tool", "store", "--label=x", "service", "claude-bottle", "username", "work/claude")
	store.Env, store.Stdin = append(os.Environ(), session...), strings.NewReader("t0ken-of-the-keychain")
	if out, err := store.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := p.console(t, "start", "dev", "--platform", "showing")
	c.expect("from           : CLAUDE_CODE_OAUTH_TOKEN is the keychain, work/claude")
	c.expect("KEY is what `pass show 'work/a key'` prints, on this machine")
	c.expect("launch this agent? [y/N]")
	c.types("\r")
	c.expect("aborted by user")
	c.ends(0)
	for _, args := range [][]string{{"start", "dev", "--dry-run"}, {"info", "dev"}, {"policy", "dev"}, {"validate"}, {"why", "dev", "https://api.anthropic.com/v1/messages"}} {
		cmd := p.command(t, args...)
		out, err := cmd.CombinedOutput()
		wantCode(t, cmd, err, 0)
		if strings.Contains(string(out), "s3cret") || strings.Contains(string(out), "t0ken") {
			t.Errorf("%v: %s", args, out)
		}
	}
	if got := calls(); got != "" {
		t.Errorf("called before anybody agreed: %s", got)
	}
	start := p.command(t, "start", "dev", "--yes", "--platform", "showing")
	said, err := start.Output()
	wantCode(t, start, err, 0)
	if string(said) != "token t0ken-of-the-keychain key s3cret-of-pass same s3cret-of-pass\n" {
		t.Errorf("%s", said)
	}
	if got := calls(); got != "2 show work/a key in "+p.home+"\n" {
		t.Errorf("calls: %s", got)
	}
}

// TestSecretSourcesFail: the error says what the program said, and its hint
// works when it is pasted; nothing was launched.
func TestSecretSourcesFail(t *testing.T) {
	p := newPlace(t, strings.ReplaceAll(sourcesManifest, "{keychain: work/claude}", `"${TOKEN}"`))
	p.env = append(p.env, "TOKEN=t0ken-of-the-environment", "DBUS_SESSION_BUS_ADDRESS=", "XDG_RUNTIME_DIR=")
	calls := p.withPass(t, `echo "gpg: the key is locked" >&2; exit 2`)
	start := p.command(t, "start", "dev", "--yes", "--platform", "showing")
	out, err := start.CombinedOutput()
	wantCode(t, start, err, 2)
	if !strings.Contains(string(out), "error: read KEY: run pass: exit status 2: gpg: the key is locked\n") {
		t.Errorf("%s", out)
	}
	_, pasted, found := strings.Cut(string(out), "that it prints the secret alone: ")
	if !found {
		t.Fatalf("no hint: %s", out)
	}
	before := calls()
	again := exec.CommandContext(t.Context(), "sh", "-c", pasted)
	again.Dir, again.Env = p.project, p.env
	_ = again.Run()
	if got := calls(); got != before+before || before == "" {
		t.Errorf("pasted, it is called as %q, not %q", strings.TrimPrefix(got, before), before)
	}

	write(t, p.home+"/claude-bottle.yaml", sourcesManifest)
	start = p.command(t, "start", "dev", "--yes", "--platform", "showing")
	out, err = start.CombinedOutput()
	wantCode(t, start, err, 2)
	if !strings.Contains(string(out), "error: read CLAUDE_CODE_OAUTH_TOKEN: read work/claude from the keychain: this session has no keychain") {
		t.Errorf("%s", out)
	}
}

// TestKeychainHint: what says how to keep an entry keeps it.
func TestKeychainHint(t *testing.T) {
	p := newPlace(t, sourcesManifest)
	p.withPass(t, `printf 's3cret-of-pass\n'`)
	session := keyring.Start(t)
	for _, variable := range session {
		if !strings.HasPrefix(variable, "HOME=") {
			p.env = append(p.env, variable)
		}
	}
	start := p.command(t, "start", "dev", "--yes", "--platform", "showing")
	out, err := start.CombinedOutput()
	wantCode(t, start, err, 2)
	_, pasted, found := strings.Cut(string(out), "hint: keep it: ")
	if !found {
		t.Fatalf("no hint: %s", out)
	}
	keep := exec.CommandContext(t.Context(), "sh", "-c", pasted)
	keep.Env, keep.Stdin = append(os.Environ(), session...), strings.NewReader("t0ken-of-the-hint")
	if said, err := keep.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	start = p.command(t, "start", "dev", "--yes", "--platform", "showing")
	said, err := start.Output()
	wantCode(t, start, err, 0)
	if !strings.HasPrefix(string(said), "token t0ken-of-the-hint key") {
		t.Errorf("%s", said)
	}
}
