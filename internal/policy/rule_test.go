package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func compileRules(t testing.TB, rules ...Rule) *Policy {
	t.Helper()
	p, err := Compile(Egress{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRulesDecideRequests(t *testing.T) {
	p := compileRules(t,
		Rule{Host: "api.example", Methods: []string{"GET"}, Paths: []string{"/repos/acme/**", "/user"}, Source: "bottle work"},
		Rule{Host: "*.up.example", Source: "bottle work"},
		Rule{Host: "bad.up.example", Deny: true, Source: "bottle work"},
		Rule{Host: "part.up.example", Deny: true, Methods: []string{"DELETE", "GET"}, Paths: []string{"/admin/*"}},
		Rule{Host: "db.example", Port: 5432, TCP: true},
		Rule{Host: "198.51.100.7", Port: 8443, Methods: []string{"POST"}},
	)
	for _, tt := range []struct {
		method, host string
		port         int
		path         string
		allow        bool
		rule         string
	}{
		{"GET", "api.example", 443, "/repos/acme/x", true, "allow api.example GET /repos/acme/**,/user (bottle work)"},
		{"GET", "API.example.", 80, "/repos/%61cme/x", true, "allow api.example GET /repos/acme/**,/user (bottle work)"},
		{"HEAD", "api.example", 443, "/user", true, "allow api.example GET /repos/acme/**,/user (bottle work)"},
		{"get", "api.example", 443, "/user", false, RuleDefault},
		{"POST", "api.example", 443, "/user", false, RuleDefault},
		{"GET", "api.example", 443, "/user/", false, RuleDefault},
		{"GET", "api.example", 443, "/USER", false, RuleDefault},
		{"GET", "api.example", 443, "/repos/acme", true, "allow api.example GET /repos/acme/**,/user (bottle work)"},
		{"GET", "api.example", 443, "/repos/acmeevil/x", false, RuleDefault},
		{"GET", "api.example", 443, "/repos/acme/../evil/x", false, RuleAmbiguous},
		{"GET", "api.example", 443, "/repos/acme/%2e%2e/evil", false, RuleAmbiguous},
		{"GET", "api.example", 8443, "/user", false, RuleDefault},
		{"PUT", "a.up.example", 443, "/../x", true, "allow *.up.example (bottle work)"},
		{"PUT", "bad.up.example", 443, "/", false, "deny bad.up.example (bottle work)"},
		{"PUT", "bad.up.example", 9999, "/", false, "deny bad.up.example (bottle work)"},
		{"DELETE", "part.up.example", 443, "/admin/x", false, "deny part.up.example DELETE,GET /admin/*"},
		{"delete", "part.up.example", 443, "/ADMIN/x/", false, "deny part.up.example DELETE,GET /admin/*"},
		{"HEAD", "part.up.example", 443, "/admin/x", false, "deny part.up.example DELETE,GET /admin/*"},
		{"POST", "part.up.example", 443, "/admin/x", true, "allow *.up.example (bottle work)"},
		{"POST", "part.up.example", 443, "/a//b", false, RuleAmbiguous},
		{"POST", "198.51.100.7", 8443, "/", true, "allow 198.51.100.7:8443 POST"},
		{"POST", "0xc6336407", 8443, "", true, "allow 198.51.100.7:8443 POST"},
		{"POST", "198.51.100.7", 443, "/", false, RuleDefault},
	} {
		for _, kind := range []Kind{HTTP, HTTPS} {
			d := p.Decide(Request{Kind: kind, Host: tt.host, Port: tt.port, Method: tt.method, Path: tt.path})
			if d.Allow != tt.allow || d.Rule != tt.rule || d.Reason == "" || d.Inspect || d.TCP {
				t.Errorf("%s %s %s:%d%s: %+v, want %v by %q", kind, tt.method, tt.host, tt.port, tt.path, d, tt.allow, tt.rule)
			}
		}
	}
}

func TestRulesDecideTunnels(t *testing.T) {
	e := Egress{
		Allow: []Allow{{Host: "plain.example"}, {Host: "api.example:8443"}},
		Rules: []Rule{
			{Host: "api.example", Paths: []string{"/a/**"}},
			{Host: "seen.example", Inspect: InspectAlways, Budget: 5},
			{Host: "*.pinned.example", Inspect: InspectNever, Budget: 7},
			{Host: "but.pinned.example", Methods: []string{"GET"}},
			{Host: "db.example", Port: 5432, TCP: true, Budget: 9},
			{Host: "gone.example"},
			{Host: "gone.example", Port: 443, Deny: true},
			{Host: "*.tcp.example", Port: 443, TCP: true},
			{Host: "x.tcp.example", Deny: true, Paths: []string{"/x"}},
		},
	}
	for _, tt := range []struct {
		host                string
		port                int
		allow, inspect, tcp bool
		budget              int64
		always              bool // what egress.inspect: always makes of inspect
	}{
		{"plain.example", 443, true, false, false, 0, true},
		{"api.example", 443, true, true, false, 0, true},
		{"api.example", 8443, true, false, false, 0, true},
		{"seen.example", 443, true, true, false, 0, true},
		{"a.pinned.example", 443, true, false, false, 7, false},
		{"but.pinned.example", 443, true, true, false, 0, true},
		{"db.example", 5432, true, false, true, 9, false},
		{"db.example", 443, false, false, false, 0, false},
		{"gone.example", 443, false, false, false, 0, false},
		{"gone.example", 80, true, false, false, 0, true},
		{"y.tcp.example", 443, true, false, true, 0, false},
		{"x.tcp.example", 443, true, true, false, 0, true},
	} {
		for _, kind := range []Kind{Connect, SOCKS, TLS} {
			for _, mode := range []string{"", InspectAuto, InspectAlways} {
				e.Inspect = mode
				p, err := Compile(e)
				if err != nil {
					t.Fatal(err)
				}
				want := tt.inspect || tt.always && mode == InspectAlways
				d := p.Decide(Request{Kind: kind, Host: tt.host, Port: tt.port})
				budget := tt.budget
				if want {
					budget = 0
				}
				if d.Allow != tt.allow || d.Inspect != want || d.TCP != tt.tcp || d.Budget != budget {
					t.Errorf("%s %s:%d with inspect %q: %+v", kind, tt.host, tt.port, mode, d)
				}
				if tcp := p.Decide(Request{Kind: TCP, Host: tt.host, Port: tt.port}); tcp.Allow != tt.tcp {
					t.Errorf("tcp %s:%d: %+v", tt.host, tt.port, tcp)
				}
			}
		}
	}
}

func TestRulesDecideNames(t *testing.T) {
	p := compileRules(t,
		Rule{Host: "a.example", Port: 5432, TCP: true},
		Rule{Host: "*.b.example"},
		Rule{Host: "no.b.example", Deny: true},
		Rule{Host: "part.b.example", Deny: true, Methods: []string{"POST"}},
		Rule{Host: "half.b.example", Deny: true, Port: 443},
		Rule{Host: "both.b.example", Deny: true, Port: 443},
		Rule{Host: "both.b.example", Deny: true, Port: 80},
		Rule{Host: "never.example", Deny: true},
	)
	for host, want := range map[string]bool{
		"a.example": true, "x.b.example": true, "no.b.example": false, "part.b.example": true, "half.b.example": true,
		"both.b.example": false, "never.example": false, "other.example": false,
	} {
		d := p.Decide(Request{Kind: DNS, Host: host})
		if d.Allow != want || d.Rule == "" || strings.HasPrefix(d.Rule, "deny") != (!want && host != "other.example") {
			t.Errorf("%s: %+v, want %v", host, d, want)
		}
	}
}

func TestDenyBeatsTheHarness(t *testing.T) {
	p, err := Compile(Egress{
		Allow: []Allow{{Host: "telemetry.example", Source: "harness claude"}},
		Rules: []Rule{{Host: "telemetry.example", Deny: true, Source: "bottle work"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []Kind{HTTP, HTTPS, Connect, SOCKS, TLS, TCP, DNS} {
		if d := p.Decide(Request{Kind: kind, Host: "telemetry.example", Port: 443, Method: "GET", Path: "/"}); d.Allow || d.Rule != "deny telemetry.example (bottle work)" {
			t.Errorf("%s: %+v", kind, d)
		}
	}
}

func TestCompileRefusesRules(t *testing.T) {
	for _, tt := range []struct {
		words string
		rules []Rule
	}{
		{"a host, not a URL", []Rule{{Host: "https://a.example/"}}},
		{"port beside the host", []Rule{{Host: "a.example:443"}}},
		{"whole labels", []Rule{{Host: "a*.example"}}},
		{"1 to 65535", []Rule{{Host: "a.example", Port: 65536}}},
		{"1 to 65535", []Rule{{Host: "a.example", Port: -1}}},
		{"not a method", []Rule{{Host: "a.example", Methods: []string{"GET /"}}}},
		{`"GET"`, []Rule{{Host: "a.example", Methods: []string{"get"}}}},
		{"CONNECT", []Rule{{Host: "a.example", Methods: []string{"CONNECT"}}}},
		{"begins with", []Rule{{Host: "a.example", Paths: []string{"a"}}}},
		{"begins with", []Rule{{Host: "a.example", Paths: []string{""}}}},
		{"whole segments", []Rule{{Host: "a.example", Paths: []string{"/a**"}}}},
		{"dot segment", []Rule{{Host: "a.example", Paths: []string{"/a/../b"}}}},
		{"empty segment", []Rule{{Host: "a.example", Paths: []string{"/a//b"}}}},
		{"parameter", []Rule{{Host: "a.example", Paths: []string{"/a;b"}}}},
		{"no query", []Rule{{Host: "a.example", Paths: []string{"/a?b"}}}},
		{"encoded", []Rule{{Host: "a.example", Paths: []string{"/a%2fb"}}}},
		{"tcp needs a port", []Rule{{Host: "a.example", TCP: true}}},
		{"leave tcp out", []Rule{{Host: "a.example", Port: 1, TCP: true, Deny: true}}},
		{"nothing sees", []Rule{{Host: "a.example", Port: 1, TCP: true, Paths: []string{"/"}}}},
		{"opens them", []Rule{{Host: "a.example", Port: 1, TCP: true, Inspect: InspectAlways}}},
		{"inspect: never forbids", []Rule{{Host: "a.example", Paths: []string{"/"}, Inspect: InspectNever}}},
		{"not \"yes\"", []Rule{{Host: "a.example", Inspect: "yes"}}},
		{"nothing to say", []Rule{{Host: "a.example", Inspect: InspectAlways, Deny: true}}},
		{"no budget", []Rule{{Host: "a.example", Budget: 1, Deny: true}}},
		{"not negative", []Rule{{Host: "a.example", Budget: -1}}},
		{"cannot hold", []Rule{{Host: "a.example", Inspect: InspectNever}, {Host: "*.example", Methods: []string{"GET"}}}},
		{"cannot hold", []Rule{{Host: "a.example", Port: 443, TCP: true}, {Host: "a.example", Inspect: InspectAlways}}},
		{"cannot hold", []Rule{{Host: "a.example", Port: 22, TCP: true}, {Host: "a.example", Deny: true, Paths: []string{"/x"}}}},
	} {
		_, err := Compile(Egress{Rules: tt.rules})
		var where *RuleError
		if err == nil || !errors.As(err, &where) || where.Index != 0 || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%+v: %v, want %q", tt.rules, err, tt.words)
		}
	}
	never := Egress{Inspect: InspectNever, Rules: []Rule{{Host: "a.example", Paths: []string{"/"}}}}
	if _, err := Compile(never); err == nil {
		t.Error("inspect: never with a path rule compiled")
	}
	never.Rules[0].Inspect = InspectAuto
	if _, err := Compile(never); err != nil {
		t.Errorf("a rule that overrides it: %v", err)
	}
	for _, e := range []Egress{{Inspect: "yes"}, {Unlisted: "maybe"}, {Budget: -1}, {NoProxy: []string{"a b"}}} {
		if _, err := Compile(e); err == nil {
			t.Errorf("%+v compiled", e)
		}
	}
}

func mustResolve(name, addr string) map[string]netip.Addr {
	return map[string]netip.Addr{name: netip.MustParseAddr(addr)}
}
