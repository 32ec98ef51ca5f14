package e2e_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"claude-bottle/internal/harness"
	"claude-bottle/test/messagesapi"
)

// TestNativeLogin: the login of the real Claude Code runs in a bottle, prints
// the URL and waits for the code. The one that is ended there has kept nothing
// and leaves nothing. All hosts of the harness are at loopback, where nothing
// answers for most.
func TestNativeLogin(t *testing.T) {
	p := newNativePerson(t)
	row, _ := harness.Named("claude")
	const address = "127.99.99.99" // where nobody listens
	var resolve []string
	for _, host := range row.Egress {
		resolve = append(resolve, host+": "+address)
	}
	p.manifest(p.home, `
bottles: {local: {egress: {resolve: {`+strings.Join(resolve, ", ")+`}, private: [`+address+`]}}}
agents: {native: {bottle: local}}
`)
	runs := func() []string {
		found, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "runs", "[^.]*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	before := runs()
	kept := func() []string { // others of this package log in, too
		found, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, path := range found {
			if content, err := os.ReadFile(path); err == nil {
				all = append(all, path+": "+string(content))
			}
		}
		return all
	}
	had := kept()
	cmd := p.command("login", "native", "--platform", "native")
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "DBUS_") || strings.HasPrefix(v, "XDG_RUNTIME_DIR=") })
	s := onScreen(t, cmd)
	s.shows("harness : claude: claude setup-token")
	s.shows("launch this agent? [y/N]")
	s.types("y\r")
	s.shows("https://claude.ai/oauth/authorize?")
	s.shows("Paste code here")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.ends(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("code %d\n%s", code, s.text())
	}
	if got := runs(); len(got) != len(before) {
		t.Errorf("runs: %q, before: %q", got, before)
	}
	if got := kept(); !slices.Equal(got, had) {
		t.Errorf("kept: %q, before: %q", got, had)
	}
}

// TestNativeLoginIsKept and TestLoginIsKept: a person logs in on a terminal of
// the usual width by Claude Code's own login, first with a code that is none; the
// token, which the screen cuts into two lines, is kept, taken by the next run, and
// forgotten by logout.
func TestNativeLoginIsKept(t *testing.T) { loginIsKept(t, newNativePerson(t), "native", "native") }

func TestLoginIsKept(t *testing.T) {
	p := newPerson(t, "runc", "", "prompt: You are logged in.")
	loginIsKept(t, p, p.agent, "docker")
}

func loginIsKept(t *testing.T, p *person, agent, platform string) {
	given := "sk-ant-oat01-" + rand.Text() + rand.Text() + rand.Text() + rand.Text()[:8] + "-AAAA"
	p.server.Grant(func(code string) string {
		if code == "the-code" {
			return given
		}
		return ""
	})
	t.Cleanup(func() { p.server.Grant(nil) })
	p.env = p.withoutTokens()
	s := onScreen(t, p.command("login", agent, "--platform", platform))
	if err := pty.Setsize(s.file, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	s.shows("launch this agent? [y/N]")
	s.types("y\r")
	s.shows("https://claude.ai/oauth/authorize?")
	s.shows("Paste code here")
	s.types("no-code#state\r")
	s.shows("Press Enter to retry")
	for try := 0; !strings.Contains(s.textFrom(s.typed), "Pastecodehere"); try++ { // it says so before it listens
		if try > 20 {
			t.Fatal(s.text())
		}
		s.types("\r")
		s.showsSoon("Paste code here")
	}
	s.types("the-code#state\r")
	s.shows("is kept in")
	if code := s.ends(); code != 0 || strings.Contains(s.text(), "could not be read") {
		t.Fatalf("code %d\n%s", code, s.text())
	}
	kept := filepath.Join(p.state, "claude-bottle", "secrets.json")
	if text, err := os.ReadFile(kept); err != nil || !strings.Contains(string(text), given) || !strings.Contains(s.text(), kept) {
		t.Errorf("in %s is %q, %v", kept, text, err)
	}
	got := p.run("start", agent, "--platform", platform, "--yes", "--prompt", "good day")
	if got.code != 0 || !strings.Contains(got.stdout, "You said: good day") {
		t.Errorf("code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if !slices.ContainsFunc(p.server.Requests(), func(r messagesapi.Request) bool { return r.Path == "/v1/messages" && r.Bearer == given }) {
		t.Error("the model never got the token")
	}
	if got := p.run("logout"); got.code != 0 || !strings.Contains(got.stderr, "is no longer in "+kept) {
		t.Errorf("logout: code %d\n%s", got.code, got.stderr)
	}
	if text, err := os.ReadFile(kept); err != nil || strings.Contains(string(text), given) {
		t.Errorf("after logout: %q, %v", text, err)
	}
	if got := p.run("start", agent, "--platform", platform, "--yes", "--prompt", "good day"); got.code == 0 {
		t.Errorf("without a login: code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
}

// TestLoginIsLeft: Ctrl-C at each question ends a login, and keeps and leaves
// nothing.
func TestLoginIsLeft(t *testing.T) {
	p := newNativePerson(t)
	p.env = p.withoutTokens()
	for question, args := range map[string][]string{
		"launch this agent? [y/N]": {"login", "native", "--platform", "native"},
		"Paste code here":          {"login", "native", "--platform", "native", "--yes"},
		"token or API key":         {"login", "--paste"},
	} {
		before, _ := os.ReadFile(filepath.Join(p.state, "claude-bottle", "secrets.json"))
		s := onScreen(t, p.command(args...))
		s.shows(question)
		s.types("\x03")
		code := s.ends()
		after, _ := os.ReadFile(filepath.Join(p.state, "claude-bottle", "secrets.json"))
		if code != 130 || string(before) != string(after) {
			t.Errorf("%s: code %d, kept %v\n%s", question, code, string(before) != string(after), s.text())
		}
	}
}
