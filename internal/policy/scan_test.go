package policy

import (
	"strings"
	"testing"
)

func TestScan(t *testing.T) {
	p, err := Compile(Egress{
		Allow: []Allow{
			{Host: "a.example", Source: "bottle b"},
			{Host: "*.wild.example", Source: "bottle b"},
			{Host: "model.example", Source: "harness h", Harness: true},
			{Host: "c.example"},
		},
		Rules: []Rule{
			{Host: "a.example", Scan: ScanRedact},
			{Host: "a.example", Scan: ScanWarn, Methods: []string{"GET"}},
			{Host: "*.wild.example", Scan: ScanBlock},
			{Host: "w.wild.example", Scan: ScanWarn},
			{Host: "plain.example", Port: 80, Scan: ScanRedact},
			{Host: "model.example", Paths: []string{"/v1"}},
		},
		Scan: Scan{Mode: ScanBlock},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		kind              Kind
		host, mode        string
		port              int
		wildcard, harness bool
		inspect           bool
	}{
		{HTTPS, "a.example", ScanRedact, 443, false, false, false}, // the stricter of two for one host
		{Connect, "a.example", ScanRedact, 443, false, false, true},
		{HTTPS, "x.wild.example", ScanBlock, 443, true, false, false},
		{HTTPS, "w.wild.example", ScanWarn, 443, false, false, false}, // the more specific
		{Connect, "w.wild.example", ScanWarn, 443, false, false, true},
		{HTTP, "plain.example", ScanRedact, 80, false, false, false},
		{Connect, "c.example", ScanBlock, 443, false, false, false},
		{HTTPS, "model.example", ScanBlock, 443, false, true, false},
	} {
		d := p.Decide(Request{Kind: test.kind, Host: test.host, Port: test.port, Method: "GET", Path: "/v1"})
		if !d.Allow || d.Scan != test.mode || d.Wildcard != test.wildcard || d.Harness != test.harness || d.Inspect != test.inspect {
			t.Errorf("%+v: %+v", test, d)
		}
	}
	if e := (Egress{Rules: []Rule{{Host: "a.example", Scan: ScanWarn}}}); !e.Inspects() {
		t.Error("a rule that scans opens no TLS")
	}
}

func TestScanRefuses(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	if _, err := Compile(Egress{Scan: Scan{Mode: ScanWarn, Allowed: []string{hash, strings.ToUpper(hash)}}}); err != nil {
		t.Error(err)
	}
	for what, e := range map[string]Egress{
		"mode":       {Scan: Scan{Mode: "off"}},
		"short hash": {Scan: Scan{Allowed: []string{hash[2:]}}},
		"no hash":    {Scan: Scan{Allowed: []string{strings.Repeat("x", 64)}}},
		"rule":       {Rules: []Rule{{Host: "a.example", Scan: "maybe"}}},
		"deny":       {Rules: []Rule{{Host: "a.example", Scan: ScanWarn, Deny: true}}},
		"tcp":        {Rules: []Rule{{Host: "a.example", Port: 5432, Scan: ScanWarn, TCP: true}}},
		"unseen":     {Rules: []Rule{{Host: "a.example", Scan: ScanWarn, Inspect: InspectNever}}},
		"all unseen": {Inspect: InspectNever, Rules: []Rule{{Host: "a.example", Scan: ScanWarn}}},
	} {
		if _, err := Compile(e); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
