package docker

import (
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// TestControl: a person changes what a running bottle may reach and reads its
// counters, and SOCKS is there for programs inside, with the same decision.
func TestControl(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	i := b.launch(t, spec)
	const lookup = "nslookup docs.example >/dev/null 2>&1 && echo answered || echo refused"
	if got := sh(t, i, lookup); got != "refused" {
		t.Errorf("before: %s", got)
	}
	converse := func() *wire.ControlClient {
		t.Helper()
		stream, err := i.Control(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		client := wire.NewControlClient(stream)
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	if _, err := converse().Allow(t.Context(), wire.Allow{Rule: policy.Rule{Host: "docs.example"}, Who: "a test"}); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, i, lookup); got != "answered" {
		t.Errorf("after: %s", got)
	}
	const socks = `at=${HTTP_PROXY#http://}; printf '\005\001\000\005\001\000\003\014evil.example\001\273' | nc -w 2 ${at%:*} 1080 | od -An -tx1 -N4`
	if got := sh(t, i, socks); strings.TrimSpace(got) != "05 00 05 02" {
		t.Errorf("SOCKS: %q", got)
	}
	text, err := converse().Counters(t.Context())
	if err != nil || !strings.Contains(text, `claude_bottle_gateway_decisions_total{kind="socks",decision="deny"} 1`) {
		t.Errorf("%v\n%s", err, text)
	}
}
