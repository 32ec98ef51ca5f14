//go:build linux

package cli_test

import (
	"net/http"
	"strings"
	"testing"

	"claude-bottle/internal/policy"
)

// What a running bottle's gateway counts is shown to its person, as it is.
func TestEgressCounters(t *testing.T) {
	p := newPlace(t, listedManifest)
	p.runs(t)
	at := p.gateway(t, policy.Egress{})
	if got := <-through(t, at, http.MethodGet, "http://evil.example/"); got.status != 403 {
		t.Fatalf("%+v", got)
	}
	out, err := p.command(t, "egress", "claude-bottle-shell", "--counters").Output()
	want := `claude_bottle_gateway_decisions_total{kind="http",decision="deny"} 1` + "\n"
	if err != nil || !strings.HasPrefix(string(out), "# HELP ") || !strings.Contains(string(out), want) {
		t.Errorf("%v\n%s", err, out)
	}
	cmd := p.command(t, "egress", "claude-bottle-shell", "--counters", "--denied")
	wantCode(t, cmd, cmd.Run(), 2)
}
