package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"claude-bottle/test/engine"
	"claude-bottle/test/messagesapi"
	"claude-bottle/test/standin"
)

// claudePackage is the agent as people install it on their machine.
const claudePackage = "@anthropic-ai/claude-code@2.1.330"

// TestNativePromptPrintsTheAnswer runs the real Claude Code, which is on the
// host, in a bottle without an engine.
func TestNativePromptPrintsTheAnswer(t *testing.T) {
	p := newNativePerson(t)
	got := p.run("start", "native", "--platform", "native", "--yes", "--prompt", "good day")
	if want := "Hello from the local Messages API. You said: good day\n"; got.code != 0 || got.stdout != want {
		t.Fatalf("code %d, stdout %q\n%s", got.code, got.stdout, got.stderr)
	}
	got = p.run("start", "native", "--platform", "native", "--yes", "--prompt", "write /home/node/workspace/sub/note.txt made inside")
	if got.code != 0 || !strings.Contains(got.stderr, "1 added") {
		t.Errorf("code %d\n%s", got.code, got.stderr)
	}
	notes, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "runs", "*", "work", "sub", "note.txt"))
	if err != nil || len(notes) != 1 {
		t.Fatalf("%q, %v", notes, err)
	}
	if data, err := os.ReadFile(notes[0]); err != nil || string(data) != "made inside\n" {
		t.Errorf("%q, %v", data, err)
	}
	if left, err := os.ReadDir(filepath.Join(p.state, "claude-bottle", "native")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// newNativePerson has an agent whose Messages API is on loopback of the
// machine, and Claude Code in PATH.
func newNativePerson(t *testing.T) *person {
	t.Helper()
	engine.Long(t)
	engine.Tool(t, "bwrap")
	bin := claudeOnHost(t)
	binary, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	listener := listenHTTPS(t)
	authority, err := messagesapi.NewAuthority(messagesapi.LoginName)
	if err != nil {
		t.Fatal(err)
	}
	config, err := authority.TLS()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	server := &standin.Server{}
	go func() { served <- server.Serve(ctx, listener, config) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(shared.dir, "native")
	p := &person{t: t, binary: binary, server: server, home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), project: filepath.Join(dir, "project")}
	for _, dir := range []string{shared.dir, dir, p.home, p.state, p.project} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.ReplaceAll(`
bottles:
  local:
    env: {CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1"}
    egress:
      resolve: {api.anthropic.com: ADDRESS, platform.claude.com: ADDRESS}
      private: [ADDRESS/32]
      ca: ca.pem
  guarded:
    scan: {mode: block, canary: true}
    env: {CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1"}
    egress:
      resolve: {api.anthropic.com: ADDRESS, platform.claude.com: ADDRESS}
      private: [ADDRESS/32]
      ca: ca.pem
  carried:
    env: {CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1", CLAUDE_CODE_OAUTH_TOKEN: "${CLAUDE_BOTTLE_OAUTH_TOKEN}"}
    egress:
      inspect: never
      resolve: {api.anthropic.com: ADDRESS, platform.claude.com: ADDRESS}
      private: [ADDRESS/32]
      ca: ca.pem
agents:
  native: {bottle: local, harness: claude}
  guarded: {bottle: guarded, harness: claude}
  carried: {bottle: carried, harness: claude}
  shell: {bottle: local, harness: {command: [bash, -c]}}
`, "ADDRESS", listener.Addr().(*net.TCPAddr).IP.String())
	if err := os.WriteFile(filepath.Join(p.home, "ca.pem"), authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.home, "claude-bottle.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = []string{
		"HOME=" + p.home, "XDG_STATE_HOME=" + p.state, "PATH=" + bin + ":" + os.Getenv("PATH"), "TERM=xterm-256color",
		"CLAUDE_BOTTLE_OAUTH_TOKEN=" + token,
	}
	return p
}

// listenHTTPS listens on port 443, where the harness's credential goes, on a
// loopback address that nobody else has.
func listenHTTPS(t *testing.T) net.Listener {
	t.Helper()
	for range 20 {
		address := fmt.Sprintf("127.%d.%d.%d:443", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250))
		listener, err := net.Listen("tcp4", address) //nolint:noctx // on loopback, at once
		if err == nil {
			return listener
		}
		if errors.Is(err, os.ErrPermission) {
			skipOrFail(t, "only root may listen on port 443")
		}
	}
	t.Fatal("no address of loopback is free")
	return nil
}

// claudeOnHost is the directory that holds the claude of an npm package, which
// is installed once, outside the tree. Its files are linked to where every
// user can reach them, once for all tests.
func claudeOnHost(t *testing.T) string {
	t.Helper()
	cache, err := engine.Cache()
	if err != nil {
		t.Fatal(err)
	}
	installed := filepath.Join(cache, "host-"+strings.NewReplacer("/", "-").Replace(claudePackage))
	if _, err := os.Stat(filepath.Join(installed, "done")); err != nil {
		installClaude(t, installed)
	}
	linked := filepath.Join(shared.dir, "host-claude")
	if _, err := os.Stat(filepath.Join(linked, "done")); err != nil {
		linkTree(t, installed, linked)
	}
	return filepath.Join(linked, "node_modules", ".bin")
}

// linkTree makes to what from is, by links where the two are on one disk.
func linkTree(t *testing.T, from, to string) {
	t.Helper()
	if err := exec.CommandContext(t.Context(), "cp", "-a", "--link", from, to).Run(); err == nil {
		return
	}
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func installClaude(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir, claudePackage)
	if out, err := install.CombinedOutput(); err != nil {
		engine.Missing(t, engine.PartTools, fmt.Sprintf("install %s: %v\n%s", claudePackage, err, out))
	}
	// Its one script puts the machine's program in place.
	script := exec.CommandContext(ctx, "node", "install.cjs")
	script.Dir = filepath.Join(dir, "node_modules", "@anthropic-ai", "claude-code")
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("put claude in place: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "done"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// skipOrFail skips loudly; where the environment promises the part, it fails.
func skipOrFail(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
