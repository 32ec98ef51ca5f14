package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"claude-bottle/internal/harness"
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
