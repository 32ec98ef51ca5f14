package e2e_test

import (
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/test/messagesapi"
)

// carriesAgent is a bottle whose agent's TLS nobody opens: it holds its token.
const carriesAgent = `  inspect: never
env: {CLAUDE_CODE_OAUTH_TOKEN: "${CLAUDE_BOTTLE_OAUTH_TOKEN}", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1"}`

// opensAgent is one where it is opened, since the gateway puts the token in.
const opensAgent = `env: {CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1"}`

// TestAgentWithoutProxyVariables: Claude Code works by the proxy variables that
// a bottle has, and a second one, which the first runs as a tool, with those
// unset; where its TLS is opened, and where it is carried as it is.
func TestAgentWithoutProxyVariables(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		for way, bottle := range map[string]string{"opened": opensAgent, "carried": carriesAgent} {
			t.Run(way, func(t *testing.T) {
				p := newPerson(t, isolation, bottle, "")
				p.twoAgents(t, p.agent, way)
			})
		}
	})
	t.Run("native", func(t *testing.T) {
		p := newNativePerson(t)
		for way, agent := range map[string]string{"opened": "native", "carried": "carried"} {
			t.Run(way, func(t *testing.T) { p.twoAgents(t, agent, way, "--platform", "native") })
		}
	})
}

// twoAgents runs one Claude Code within the other, and looks at which ways they
// took.
func (p *person) twoAgents(t *testing.T, agent, way string, flags ...string) {
	t.Helper()
	// Claude Code keeps its token from its tools; this one is told.
	const inner = `CLAUDE_CODE_OAUTH_TOKEN=$(cat /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | sed -n 's/^CLAUDE_CODE_OAUTH_TOKEN=//p' | head -n 1) env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY -u no_proxy -u NO_PROXY -u CLAUDECODE claude -p 'good day from within'`
	args := append([]string{"start", agent, "--yes", "--prompt", "run " + inner}, flags...)
	got := p.run(args...)
	if want := "Hello from the local Messages API. You said: good day from within"; got.code != 0 || !strings.Contains(got.stdout, want) {
		t.Fatalf("code %d, stdout %q, want %q\n%s", got.code, got.stdout, want, got.stderr)
	}
	kinds := map[policy.Kind]int{}
	for _, e := range p.lastRecord() {
		if e.Host == messagesapi.Name && e.Decision == audit.Allowed && e.Phase == audit.Open {
			kinds[e.Kind]++
		}
	}
	if kinds[policy.Connect] == 0 || kinds[policy.TLS] == 0 || (kinds[policy.HTTPS] > 0) != (way == "opened") {
		t.Errorf("the ways to the agent's host: %v", kinds)
	}
	if !slices.ContainsFunc(p.server.Requests(), func(r messagesapi.Request) bool { return r.Bearer == token }) {
		t.Error("the server never got the token")
	}
}
