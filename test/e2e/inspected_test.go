package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/test/messagesapi"
)

// seesInside is what makes the gateway decide the agent's own requests one by
// one.
const seesInside = `  rules: [{host: api.anthropic.com, paths: ["/v1/**"]}]`

// Claude Code works where the gateway sees into its TLS, and what it asked for
// is in the record.
func TestInspectedAgent(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, seesInside, "")
		got := p.start("--prompt", "good day, seen from the gateway")
		if want := "Hello from the local Messages API. You said: good day, seen from the gateway\n"; got.stdout != want {
			t.Errorf("stdout %q, want %q", got.stdout, want)
		}
		seen := map[policy.Kind]string{}
		for _, e := range p.record() {
			if e.Decision == audit.Allowed && e.Host == messagesapi.Name && e.Phase == audit.Close {
				seen[e.Kind] += e.Method + " " + e.Path + " "
			}
		}
		if !strings.Contains(seen[policy.HTTPS], "POST /v1/messages ") {
			t.Errorf("the record has %q", seen)
		}
		p.keyNowhere()
	})
}

// record is that of the person's only run.
func (p *person) record() []audit.Event {
	p.t.Helper()
	var events []audit.Event
	path := filepath.Join(filepath.Dir(p.work()), "record", "egress.jsonl")
	if _, err := audit.Read(path, func(e audit.Event) error { events = append(events, e); return nil }); err != nil {
		p.t.Fatal(err)
	}
	return events
}

// keyNowhere looks for a private key in what the person's runs left on the
// host.
func (p *person) keyNowhere() {
	p.t.Helper()
	err := filepath.WalkDir(p.state, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(data), "-BEGIN PRIVATE KEY-") && entry.Name() != "claude-bottle" {
			p.t.Errorf("%s holds a key", path)
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// Programs that an agent uses trust the run's authority, each without being
// told to, and a path that no rule names is refused in words.
func TestInspectedPrograms(t *testing.T) {
	const script = `
url=https://api.anthropic.com/api/hello
say() { printf '%s: ' "$1"; shift; "$@" 2>&1 | tr -d '\n'; echo; }
say curl curl -sS $url
say direct env -u https_proxy -u HTTPS_PROXY curl -sS $url
say python python3 -c "import urllib.request as u; print(u.urlopen('$url').read().decode())"
say node env -u https_proxy -u HTTPS_PROXY node -e "fetch('$url').then(r => r.text()).then(console.log, console.log)"
say git git ls-remote https://api.anthropic.com/api/x.git
say refused curl -sS https://api.anthropic.com/v1/other
`
	p := newPerson(t, "runc", `  rules: [{host: api.anthropic.com, paths: ["/api/**"]}]`, shell)
	got := p.start("--", script)
	hello := `{"message":"hello"}`
	for _, want := range []string{
		"curl: " + hello, "direct: " + hello, "python: " + hello, "node: " + hello,
		"git: fatal: repository", "refused: claude-bottle refused this",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
	}
}
