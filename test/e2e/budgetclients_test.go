package e2e_test

import (
	_ "embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/test/engine"
	"claude-bottle/test/origins"
)

// budgetClientsScript runs the client that it is given.
//
//go:embed testdata/budgetclients.sh
var budgetClientsScript string

// spenders are clients with what their bottle may reach, how much it may send of
// that, and what the client shows when that is used up.
var spenders = []struct {
	client, egress string
	budget         int64
	says           []string
}{
	{"curl", "inspect: always, allowlist: [" + origins.Web + "], budget: 100kB", 100_000, []string{"403", "claude-bottle refused this: the bottle may send 100000 bytes in all"}},
	{"push", "inspect: always, allowlist: [" + origins.Web + "], budget: 100kB", 100_000, []string{"HTTP 403"}},
	{"carried", "allowlist: [" + origins.Web + "], budget: 100kB", 100_000, []string{"fatal: "}},
	{
		"clone", "rules: [{host: " + origins.Web + ", methods: [GET]}, {host: " + origins.Web + ", methods: [POST], budget: 100B}]",
		100,
		[]string{"HTTP 403"}, // git shows no words of an answer to a POST
	},
	{
		"npm", "rules: [{host: " + origins.NPM + ", methods: [GET], paths: [/*]}, {host: " + origins.NPM + ", methods: [GET], paths: [/*/-/*], budget: 100B}]",
		100,
		[]string{"403 Forbidden - GET https://" + origins.NPM},
	},
	{
		"pip", "rules: [{host: " + origins.PyPI + ", methods: [GET], paths: [/simple/**]}, {host: " + origins.PyPI + ", methods: [GET], paths: [/files/**], budget: 100B}]",
		100,
		[]string{"403"},
	},
}

// TestBudgetClients: a budget ends what real clients send at its limit, they say
// that they were refused, and the record says by what.
func TestBudgetClients(t *testing.T) {
	engine.Long(t)
	for _, program := range []string{"bwrap", "curl", "python3"} {
		engine.Tool(t, program)
	}
	o := origins.Start(t)
	binary, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(shared.dir, "budgets")
	p := &person{t: t, binary: binary, home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), project: filepath.Join(dir, "project")}
	var bottles, agents strings.Builder
	for _, s := range spenders {
		fmt.Fprintf(&bottles, `  %s:
    env: {NPM_CONFIG_REGISTRY: "https://%s/", PIP_INDEX_URL: "https://%s/simple/"}
    egress: {ca: roots.pem, resolve: %s, private: %s, %s}
`, s.client, origins.NPM, origins.PyPI, o.Resolve(), o.Private(), s.egress)
		fmt.Fprintf(&agents, "  %s: {bottle: %s, harness: {command: [bash, -c]}}\n", s.client, s.client)
	}
	p.fillWithClients(t, o, "bottles:\n"+bottles.String()+"agents:\n"+agents.String(), nil)
	p.env = p.plainEnv()
	for _, s := range spenders {
		t.Run(s.client, func(t *testing.T) {
			got := p.run("start", s.client, "--platform", "native", "--cwd", "--yes", "--", budgetClientsScript, "-", s.client)
			_, inside, _ := strings.Cut(got.stderr, "isolation:")
			for _, word := range s.says {
				if got.code == 0 || !strings.Contains(got.stdout+inside, word) {
					t.Errorf("code %d, want %q\n%s\n%s", got.code, word, got.stdout, inside)
				}
			}
			sent, refused := p.spent(t)
			if sent > s.budget || !strings.Contains(refused, fmt.Sprintf("may send %d bytes in all, and this would be more", s.budget)) {
				t.Errorf("sent %d, refused because %q", sent, refused)
			}
		})
	}
}

// spent is what the last run sent by decisions that a budget ended, and what the
// record says of it.
func (p *person) spent(t *testing.T) (sent int64, reason string) {
	t.Helper()
	records, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "runs", "*", "record", "egress.jsonl"))
	if err != nil || len(records) == 0 {
		t.Fatal(records, err)
	}
	slices.Sort(records) // by start
	if _, err := audit.Read(records[len(records)-1], func(e audit.Event) error {
		if e.Rule == "budget" && e.Decision == audit.Denied {
			sent, reason = sent+e.Sent, e.Reason
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return sent, reason
}
