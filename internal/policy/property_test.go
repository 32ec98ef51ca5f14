package policy

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var ruleHosts = []string{"a.example", "b.a.example", "*.a.example", "*.example", "10.0.0.1"}

// ruleGen draws rules that compile alone, about few hosts, so that they meet.
func ruleGen() *rapid.Generator[Rule] {
	return rapid.Custom(func(t *rapid.T) Rule {
		r := Rule{
			Host:    rapid.SampledFrom(ruleHosts).Draw(t, "host"),
			Port:    rapid.SampledFrom([]int{0, 0, 80, 443, 5432}).Draw(t, "port"),
			Deny:    rapid.IntRange(0, 3).Draw(t, "deny") == 0,
			Methods: rapid.SampledFrom([][]string{nil, nil, {"GET"}, {"POST", "DELETE"}}).Draw(t, "methods"),
			Paths:   rapid.SampledFrom([][]string{nil, nil, {"/a/**"}, {"/a/*/b", "/c"}, {"/**/x"}}).Draw(t, "paths"),
			Source:  rapid.SampledFrom([]string{"", "bottle work"}).Draw(t, "source"),
		}
		if r.Deny {
			return r
		}
		r.Inspect = rapid.SampledFrom([]string{"", "", InspectAuto, InspectAlways}).Draw(t, "inspect")
		r.Budget = rapid.SampledFrom([]int64{0, 0, 5, 7}).Draw(t, "budget")
		if r.Methods == nil && r.Paths == nil && rapid.IntRange(0, 3).Draw(t, "shut") == 0 {
			r.Inspect = InspectNever
			if r.Port != 0 {
				r.TCP = rapid.Bool().Draw(t, "tcp")
			}
		}
		return r
	})
}

func requestGen() *rapid.Generator[Request] {
	return rapid.Custom(func(t *rapid.T) Request {
		return Request{
			Kind:   rapid.SampledFrom([]Kind{HTTP, HTTPS, Connect, SOCKS, TLS, TCP, DNS}).Draw(t, "kind"),
			Host:   rapid.SampledFrom([]string{"a.example", "b.a.example", "c.b.a.example", "example", "10.0.0.1", "A.Example.", "z"}).Draw(t, "host"),
			Port:   rapid.SampledFrom([]int{80, 443, 5432, 22}).Draw(t, "port"),
			Method: rapid.SampledFrom([]string{"GET", "HEAD", "POST", "DELETE", "post", "PUT"}).Draw(t, "method"),
			Path:   rapid.SampledFrom([]string{"/", "/a/1/b", "/a/x", "/A/x/", "/c", "/%61/x", "/a//x", "/a/..", "/a%2fx"}).Draw(t, "path"),
		}
	})
}

func TestAddingADenyNeverAllowsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Egress{
			Allow: []Allow{{Host: "a.example"}, {Host: "*.a.example:5432"}},
			Rules: rapid.SliceOfN(ruleGen(), 0, 6).Draw(t, "rules"),
		}
		before, err := Compile(e)
		if err != nil {
			return
		}
		deny := ruleGen().Draw(t, "deny")
		deny.Deny, deny.TCP, deny.Inspect, deny.Budget = true, false, "", 0
		e.Rules = append(e.Rules, deny)
		after, err := Compile(e)
		if err != nil {
			return // it allows nothing at all
		}
		r := requestGen().Draw(t, "request")
		old, now := before.Decide(r), after.Decide(r)
		if now.Allow && !old.Allow || now.TCP && !old.TCP || old.Inspect && now.Allow && !now.Inspect {
			t.Fatalf("%+v: before %+v, after %+v", r, old, now)
		}
	})
}

func TestOrderOfRulesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(ruleGen(), 0, 7).Draw(t, "rules")
		shuffled := rapid.Permutation(rules).Draw(t, "shuffled")
		p, err := Compile(Egress{Rules: rules})
		q, again := Compile(Egress{Rules: shuffled})
		if (err == nil) != (again == nil) {
			t.Fatalf("%v, in another order %v", err, again)
		}
		if err != nil {
			return
		}
		r := requestGen().Draw(t, "request")
		if want, got := p.Decide(r), q.Decide(r); got != want {
			t.Fatalf("%+v: %+v, in another order %+v", r, want, got)
		}
	})
}

// Each decision names a rule, and the rule that it names, alone, says the same:
// it is the one that made it.
func TestEachDecisionNamesItsRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(ruleGen(), 0, 6).Draw(t, "rules")
		p, err := Compile(Egress{Rules: rules})
		if err != nil {
			return
		}
		r := requestGen().Draw(t, "request")
		d := p.Decide(r)
		switch d.Rule {
		case RuleDefault, RuleAmbiguous:
			if d.Allow {
				t.Fatalf("%+v: %+v", r, d)
			}
			return
		}
		verb := "deny "
		if d.Allow {
			verb = "allow "
		}
		name, _, _ := strings.Cut(d.Rule, " #")
		for _, rule := range rules {
			if rule.String() != name || !strings.HasPrefix(name, verb) {
				continue
			}
			alone := rule
			if alone.Deny { // of itself it allows nothing that it could deny
				q, err := Compile(Egress{Rules: []Rule{alone}})
				if err != nil {
					t.Fatal(err)
				}
				if q.Decide(r).Rule == name || r.Kind == DNS {
					return
				}
				continue
			}
			q, err := Compile(Egress{Rules: []Rule{alone}})
			if err != nil {
				t.Fatal(err)
			}
			if one := q.Decide(r); one.Allow == d.Allow && one.Rule == name {
				return
			}
		}
		t.Fatalf("%+v: %+v: no rule of that name says so by itself", r, d)
	})
}

func TestAmbiguousPaths(t *testing.T) {
	for _, path := range []string{
		"x", "*", "//", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a/..", "/%2e", "/%2E%2e/a", "/a%2fb", "/a%5Cb", `/a\b`,
		"/a;b", "/a%3bb", "/a\x00", "/a%00", "/a%0d%0a", "/a\x7f", "/a b", "/a#b", "/a?b", "/%", "/%4", "/%zz", "/a%252e", "/%2525252f",
		"/\xc3\xa9", "/%c0%af", "/%ff", "/%ef%bc%8f", "/%e2%80%a5",
	} {
		if got, err := readPath(path); err == nil {
			t.Errorf("%q: %q, want an error", path, got)
		}
	}
	for path, want := range map[string]string{
		"": "", "/": "", "/a": "a", "/a/": "a|", "/%61/b": "a|b", "/%c3%a9": "é", "/a%20b": "a b", "/100%25": "100%", "/a.b/.c/d..": "a.b|.c|d..", "/@a:b,c=(d)!": "@a:b,c=(d)!",
	} {
		got, err := readPath(path)
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: %q %v, want %q", path, got, err, want)
		}
	}
}

func TestGlobs(t *testing.T) {
	for _, tt := range []struct {
		glob, yes, no string
	}{
		{"/", "/", "/a /a/"},
		{"/a", "/a /%61", "/ /a/ /ab /A /a/b"},
		{"/a/", "/a/", "/a /a/b"},
		{"/a/*", "/a/b /a/b%20c", "/a /a/ /a/b/c /a/b/"},
		{"/a/*.zip", "/a/b.zip /a/.zip", "/a/b.zipx /a/b/c.zip"},
		{"/a*b*c", "/abc /axxbyyc /abbc", "/ab /acb /a/bc"},
		{"/aXa*aXa", "/aXaaXa", "/aXa"},
		{"/a/**", "/a /a/ /a/b /a/b/c/", "/ /ab /b/a"},
		{"/**", "/ /a /a/b/", ""},
		{"/**/x", "/x /a/x /a/b/x", "/ /x/a /ax"},
		{"/a/**/b/*", "/a/b/c /a/x/y/b/c /a/b/b/b", "/a/b /a/x/b /b/c"},
		{"/%2A", "/* /%2a", "/a"},
		{"/bücher", "/b%C3%BCcher", "/bucher"},
	} {
		g, err := parseGlob(tt.glob)
		if err != nil {
			t.Errorf("%s: %v", tt.glob, err)
			continue
		}
		for want, paths := range map[bool]string{true: tt.yes, false: tt.no} {
			for _, path := range strings.Fields(paths) {
				segments, err := readPath(path)
				if err != nil || g.match(segments, false) != want {
					t.Errorf("%s, %s: %v, want %v (%v)", tt.glob, path, !want, want, err)
				}
			}
		}
	}
}

func TestProxyForLeavesOutNoProxy(t *testing.T) {
	e := Egress{
		Proxy: "http://proxy.example:3128", NoProxy: []string{"a.example", "*.corp.example", "10.0.0.0/8", "2001:db8::1"},
		Resolve: mustResolve("fixed.example", "10.1.1.1"),
	}
	p, err := Compile(e)
	if err != nil {
		t.Fatal(err)
	}
	for host, direct := range map[string]bool{
		"a.example": true, "x.a.example": false, "x.corp.example": true, "corp.example": false, "10.9.9.9": true, "11.0.0.1": false,
		"2001:db8::1": true, "fixed.example": true, "other.example": false,
	} {
		if got := p.ProxyFor(host) == nil; got != direct {
			t.Errorf("%s: direct %v, want %v", host, got, direct)
		}
	}
}

func TestRuleRemedyAllows(t *testing.T) {
	p := compileRules(t, Rule{Host: "api.example", Methods: []string{"GET"}, Paths: []string{"/a"}})
	r := Request{Kind: HTTPS, Host: "api.example", Port: 443, Method: "POST", Path: "/b/*"}
	d := p.Decide(r)
	if want := `egress: {rules: [{host: "api.example", methods: [POST], paths: ["/b/%2A"]}]}`; d.Allow || d.Remedy != want {
		t.Fatalf("%+v, want %s", d, want)
	}
	if d := compileRules(t, Rule{Host: "api.example", Methods: []string{"POST"}, Paths: []string{"/b/%2A"}}).Decide(r); !d.Allow {
		t.Errorf("the remedy does not allow it: %+v", d)
	}
}

// FuzzPath holds that a path that is read means one thing: written anew from
// its segments it is read as the same, and no decoder makes more of it.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "/%61/", "/a%20b", "//", "/a/../b", "/%2e%2e", "/a;b", "/%c0%af", "/%252f", "/100%25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		segments, err := readPath(path)
		if err != nil {
			return
		}
		var written strings.Builder
		for _, s := range segments {
			if s == "." || s == ".." || strings.ContainsAny(s, "/\\;\x00\r\n") {
				t.Fatalf("%q: %q", path, segments)
			}
			if again, err := url.PathUnescape(s); err == nil && again != s {
				t.Fatalf("%q: the segment %q decodes to %q", path, s, again)
			}
			written.WriteString("/" + strings.ReplaceAll(url.PathEscape(s), "%2E", "."))
		}
		again, err := readPath(written.String())
		if err != nil || strings.Join(again, "/") != strings.Join(segments, "/") {
			t.Fatalf("%q: %q, written as %q: %q %v", path, segments, written.String(), again, err)
		}
	})
}

// FuzzRule holds that no rule and no request makes a decision that has no
// reason, and that a deny of the same holds.
func FuzzRule(f *testing.F) {
	f.Add("a.example", "GET", "/a/**", "a.example", "GET", "/a/b")
	f.Add("*.example", "POST", "/**/x*", "b.example", "post", "/%61/x")
	f.Add("10.0.0.1", "GET", "/a*b*", "0xa000001", "HEAD", "/ab")
	f.Fuzz(func(t *testing.T, host, method, glob, asked, with, path string) {
		rule := Rule{Host: host, Methods: []string{method}, Paths: []string{glob}}
		p, err := Compile(Egress{Rules: []Rule{rule}})
		if err != nil {
			return
		}
		r := Request{Kind: HTTPS, Host: asked, Port: 443, Method: with, Path: path}
		d := p.Decide(r)
		if d.Rule == "" || d.Reason == "" || d.Allow != (d.Rule == rule.String()) {
			t.Fatalf("%+v: %+v", r, d)
		}
		denied := rule
		denied.Deny = true
		both, err := Compile(Egress{Rules: []Rule{rule, denied, {Host: host}}})
		if err != nil {
			t.Fatal(err)
		}
		if d.Allow && both.Decide(r).Allow {
			t.Fatalf("%+v is allowed although the same is denied", r)
		}
	})
}
