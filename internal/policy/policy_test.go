package policy

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func compile(t testing.TB, hosts ...string) *Policy {
	t.Helper()
	var e Egress
	for _, h := range hosts {
		e.Allow = append(e.Allow, Allow{Host: h, Source: "bottle work"})
	}
	p, err := Compile(e)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDecide(t *testing.T) {
	p := compile(t, "api.example.net", "*.example.com", "db.example.org:5432", "10.1.2.3", "[2001:db8::1]:8443", "deep.example.com:8080", "bücher.example")
	for _, tt := range []struct {
		host  string
		port  int
		allow bool
		rule  string
	}{
		{"api.example.net", 443, true, "allow api.example.net (bottle work)"},
		{"API.Example.Net.", 80, true, "allow api.example.net (bottle work)"},
		{"api.example.net", 8443, false, "default"},
		{"x.api.example.net", 443, false, "default"},
		{"example.net", 443, false, "default"},
		{"notapi.example.net", 443, false, "default"},
		{"api.example.net.evil.example", 443, false, "default"},
		{"example.com", 443, false, "default"},
		{"a.example.com", 443, true, "allow *.example.com (bottle work)"},
		{"a.b.example.com", 443, true, "allow *.example.com (bottle work)"},
		{"badexample.com", 443, false, "default"},
		{"deep.example.com", 443, true, "allow *.example.com (bottle work)"},
		{"deep.example.com", 8080, true, "allow deep.example.com:8080 (bottle work)"},
		{"db.example.org", 5432, true, "allow db.example.org:5432 (bottle work)"},
		{"db.example.org", 443, false, "default"},
		{"10.1.2.3", 443, true, "allow 10.1.2.3 (bottle work)"},
		{"::ffff:10.1.2.3", 443, true, "allow 10.1.2.3 (bottle work)"},
		{"0xa010203", 443, true, "allow 10.1.2.3 (bottle work)"},
		{"10.1.2.4", 443, false, "default"},
		{"[2001:db8::1]", 8443, true, "allow [2001:db8::1]:8443 (bottle work)"},
		{"[2001:db8::1]", 443, false, "default"},
		{"XN--BCHER-KVA.example", 443, true, "allow xn--bcher-kva.example (bottle work)"},
		{"api.example.net", 0, false, "syntax"},
		{"api.example.net", 65536, false, "syntax"},
		{"api.example.net\x00.evil", 443, false, "syntax"},
		{"", 443, false, "syntax"},
	} {
		d := p.Decide(Request{Kind: Connect, Host: tt.host, Port: tt.port})
		if d.Allow != tt.allow || d.Rule != tt.rule || d.Reason == "" {
			t.Errorf("%s:%d: %+v, want %v by %q", tt.host, tt.port, d, tt.allow, tt.rule)
		}
	}
}

func TestDecideDNSAsksForTheNameAlone(t *testing.T) {
	p := compile(t, "db.example.org:5432", "10.1.2.3")
	if d := p.Decide(Request{Kind: DNS, Host: "db.example.org"}); !d.Allow {
		t.Errorf("a name that is allowed on one port: %+v", d)
	}
	if d := p.Decide(Request{Kind: DNS, Host: "other.example.org"}); d.Allow {
		t.Errorf("a name that is not: %+v", d)
	}
}

func TestRefusalSaysWhatWouldAllow(t *testing.T) {
	p := compile(t, "api.example.net")
	for _, tt := range []struct {
		host string
		port int
	}{{"new.example", 443}, {"new.example", 8443}, {"2001:db8::7", 8443}, {"api.example.net", 22}} {
		r := Request{Kind: Connect, Host: tt.host, Port: tt.port}
		d := p.Decide(r)
		_, list, _ := strings.Cut(d.Remedy, "[")
		entry, _, _ := strings.Cut(strings.TrimPrefix(list, `"`), `"`)
		if again := compile(t, entry).Decide(r); !again.Allow {
			t.Errorf("%s:%d: the remedy %q does not allow it: %+v", tt.host, tt.port, d.Remedy, again)
		}
	}
}

func TestCompileNamesEveryBadEntry(t *testing.T) {
	bad := []string{"https://x.example/", "x.example:0", "x.example:99999", "x.example:http", "*", "a.*.example", "*x.example", "*.10.0.0.1", "10.0.0.0/8", "x y", ""}
	var e Egress
	for _, h := range bad {
		e.Allow = append(e.Allow, Allow{Host: h})
	}
	e.Resolve = map[string]netip.Addr{"bad name": netip.MustParseAddr("10.0.0.1"), "10.0.0.1": netip.MustParseAddr("10.0.0.2"), "none.example": {}}
	e.Private = []netip.Prefix{{}}
	e.Proxy = "http://user:hunter2@"
	_, err := Compile(e)
	if err == nil {
		t.Fatal("compiled")
	}
	if got, want := strings.Count(err.Error(), "\n")+1, len(bad)+5; got != want {
		t.Errorf("%d errors, want %d:\n%v", got, want, err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("the error holds the proxy's password")
	}
}

func TestEmptyAllowsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Request{
			Kind: rapid.SampledFrom([]Kind{HTTP, Connect, TLS, DNS}).Draw(t, "kind"),
			Host: hostGen().Draw(t, "host"),
			Port: rapid.IntRange(-1, 70000).Draw(t, "port"),
		}
		empty, err := Compile(Egress{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*Policy{empty, {}} {
			if d := p.Decide(r); d.Allow || d.Rule == "" || d.Reason == "" {
				t.Fatalf("%+v: %+v", r, d)
			}
		}
	})
}

func TestOrderAndSpellingDoNotMatter(t *testing.T) {
	entry := rapid.Custom(func(t *rapid.T) Allow {
		host := rapid.SampledFrom([]string{"a.example", "b.a.example", "*.a.example", "*.example", "10.0.0.1"}).Draw(t, "host")
		port := rapid.SampledFrom([]string{"", ":443", ":8080"}).Draw(t, "port")
		return Allow{Host: host + port, Source: rapid.SampledFrom([]string{"", "bottle work", "harness claude"}).Draw(t, "source")}
	})
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(entry, 0, 8).Draw(t, "entries")
		shuffled := rapid.Permutation(entries).Draw(t, "shuffled")
		p, err1 := Compile(Egress{Allow: entries})
		q, err2 := Compile(Egress{Allow: shuffled})
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		host := rapid.SampledFrom([]string{"a.example", "b.a.example", "c.b.a.example", "example", "10.0.0.1", "z"}).Draw(t, "asked")
		port := rapid.SampledFrom([]int{80, 443, 8080, 22}).Draw(t, "port")
		want := p.Decide(Request{Kind: Connect, Host: host, Port: port})
		for _, spelling := range []string{host, strings.ToUpper(host), dotted(host)} {
			if got := q.Decide(Request{Kind: Connect, Host: spelling, Port: port}); got != want {
				t.Fatalf("%s: %+v, in another order %+v", spelling, want, got)
			}
		}
		if want.Rule == "" || want.Allow == (want.Rule == RuleDefault) {
			t.Fatalf("%+v", want)
		}
	})
}

func TestMoreEntriesNeverTakeAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := rapid.SliceOfN(rapid.SampledFrom([]string{"a.example", "*.a.example", "*.example", "b.example:8080"}), 1, 5).Draw(t, "hosts")
		var e Egress
		allowed := false
		r := Request{Kind: Connect, Host: rapid.SampledFrom([]string{"a.example", "x.a.example", "b.example"}).Draw(t, "host"), Port: rapid.SampledFrom([]int{443, 8080}).Draw(t, "port")}
		for _, h := range hosts {
			e.Allow = append(e.Allow, Allow{Host: h})
			p, err := Compile(e)
			if err != nil {
				t.Fatal(err)
			}
			now := p.Decide(r).Allow
			if allowed && !now {
				t.Fatalf("%s took %+v away", h, r)
			}
			allowed = now
		}
	})
}

func TestParseRoundTrip(t *testing.T) {
	e := Egress{
		Allow:   []Allow{{Host: "a.example", Source: "bottle work"}, {Host: "*.b.example:8080"}},
		Private: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd00::/8")},
		Resolve: map[string]netip.Addr{"a.example": netip.MustParseAddr("10.20.0.9")},
		Roots:   "-----BEGIN CERTIFICATE-----\n",
		Proxy:   "http://u:p@proxy.example:3128",
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestParseIsStrict(t *testing.T) {
	for _, s := range []string{
		``, `[]`, `{"alow": []}`, `{"allow": [{"host": "a", "port": 1}]}`, `{} {}`, `{}x`, `{"private": ["10.0.0.0"]}`, `{"resolve": {"a": "b"}}`,
	} {
		if _, err := Parse([]byte(s)); err == nil {
			t.Errorf("%s: no error", s)
		}
	}
}

func TestExplain(t *testing.T) {
	p, err := Compile(Egress{
		Allow:   []Allow{{Host: "api.example"}, {Host: "in.example"}, {Host: "h.example:8443"}, {Host: "127.0.0.1"}},
		Rules:   []Rule{{Host: "db.example", Port: 5432, TCP: true}},
		Resolve: map[string]netip.Addr{"in.example": netip.MustParseAddr("10.0.0.9")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		url   string
		allow bool
		kind  Kind
		port  int
	}{
		{"https://api.example/x?y=z", true, Connect, 443},
		{"http://api.example/x", true, HTTP, 80},
		{"api.example", true, Connect, 443},
		{"h.example:8443", true, Connect, 8443},
		{"https://h.example", false, Connect, 443},
		{"https://in.example", false, Connect, 443}, // a private address
		{"http://0x7f.1/", false, HTTP, 80},
		{"https://evil.example", false, Connect, 443},
		{"tcp://api.example:443", false, TCP, 443}, // no tcp rule
		{"tcp://db.example:5432", true, TCP, 5432},
	} {
		r, d, err := p.Explain(tt.url, "", nil)
		if err != nil || d.Allow != tt.allow || r.Kind != tt.kind || r.Port != tt.port {
			t.Errorf("%s: %+v %+v %v", tt.url, r, d, err)
		}
	}
	for _, bad := range []string{"ftp://a.example", "tcp://db.example", "https://a.example:0/", "https://a.example:x/", "a:b:c:1"} {
		if _, d, err := p.Explain(bad, "", nil); err == nil && d.Allow {
			t.Errorf("%s: allowed", bad)
		}
	}
}

// What a refusal says would allow it does, whole.
func TestRemediesOfAddressesAndTunnels(t *testing.T) {
	for url, want := range map[string]struct {
		remedy string
		egress Egress
	}{
		"http://127.0.0.1:3000/": {
			`egress: {allowlist: ["127.0.0.1:3000"], private: ["127.0.0.1/32"]}`,
			Egress{Allow: []Allow{{Host: "127.0.0.1:3000"}}, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		},
		"https://93.184.216.34": {`egress: {allowlist: ["93.184.216.34"]}`, Egress{Allow: []Allow{{Host: "93.184.216.34"}}}},
		"tcp://db.example:5432": {
			`egress: {rules: [{host: "db.example", port: 5432, tcp: true}]}`,
			Egress{Rules: []Rule{{Host: "db.example", Port: 5432, TCP: true}}},
		},
	} {
		for _, egress := range []Egress{{}, want.egress} {
			p, err := Compile(egress)
			if err != nil {
				t.Fatal(err)
			}
			_, d, err := p.Explain(url, "", []netip.Addr{netip.MustParseAddr("127.0.0.1")})
			if allow := egress.Allow != nil || egress.Rules != nil; err != nil || d.Allow != allow || !allow && d.Remedy != want.remedy {
				t.Errorf("%s with %+v: %+v, %v", url, egress, d, err)
			}
		}
	}
}

// A person who attends is asked about what nothing lists, and is told so
// beforehand.
func TestAsksAbout(t *testing.T) {
	p, err := Compile(Egress{
		Unlisted: Ask, Allow: []Allow{{Host: "listed.example"}}, Rules: []Rule{{Host: "denied.example", Deny: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	own := func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("93.184.216.1")}, nil }
	for host, want := range map[string]bool{
		"new.example": true, "listed.example": false, "denied.example": false, "printer.local": false,
		"gj4k2lx9q0zr7vt1mw8c.example": false, "93.184.216.34": true, "93.184.216.1": false, "10.0.0.1": false,
	} {
		r := Request{Kind: Connect, Host: host, Port: 8443}
		if got := p.AsksAbout(r, p.Decide(r), own); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}
