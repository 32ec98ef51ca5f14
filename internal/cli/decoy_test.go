package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

func TestSayDecoy(t *testing.T) {
	record := filepath.Join(t.TempDir(), "egress.jsonl")
	w, err := audit.OpenWriter(record, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	line := func(rule, host string) {
		if err := w.Append(audit.Event{Kind: policy.HTTPS, Host: host, Rule: rule, Reason: "the body holds the decoy X", Decision: audit.Denied}); err != nil {
			t.Fatal(err)
		}
	}
	line("scan", "a.example")
	if sayDecoy(&out, record); out.Len() != 0 {
		t.Errorf("without a decoy: %q", out.String())
	}
	line(ruleDecoy, "b.example")
	line(ruleDecoy, "c.example")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sayDecoy(&out, record)
	if got := out.String(); !strings.Contains(got, "on its way to b.example") || strings.Contains(got, "c.example") {
		t.Errorf("%q", got)
	}
}
