package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func withSecret(hosts ...string) Egress {
	return Egress{
		Allow:   []Allow{{Host: "api.example"}, {Host: "*.wild.example"}, {Host: "git.example:8443"}},
		Secrets: []Secret{{Name: "TOKEN", Hosts: hosts}},
	}
}

// TLS to a host of a secret is opened, whatever else is said of inspecting, and
// no host is allowed by it.
func TestSecretsAreSeen(t *testing.T) {
	e := withSecret("api.example", "*.wild.example", "git.example:8443", "shut.example")
	e.Inspect = InspectNever
	e.Rules = []Rule{{Host: "*.example", Port: 443, TCP: true, Deny: false}}
	p, err := Compile(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		host          string
		port          int
		allow, opened bool
	}{
		{"api.example", 443, true, true},
		{"API.example.", 443, true, true},
		{"api.example", 80, true, false},
		{"a.b.wild.example", 443, true, true},
		{"wild.example", 443, true, false}, // by the rule
		{"git.example", 8443, true, true},
		{"shut.example", 8443, false, false},
		{"elsewhere.test", 443, false, false},
	} {
		d := p.Decide(Request{Kind: Connect, Host: test.host, Port: test.port})
		if d.Allow != test.allow || d.Inspect != test.opened || d.TCP && test.opened {
			t.Errorf("%s:%d: %+v", test.host, test.port, d)
		}
	}
	if !e.Inspects() || (Egress{}).Inspects() {
		t.Error("a policy with secrets inspects, and an empty one does not")
	}
}

func TestSecretsRefused(t *testing.T) {
	for what, test := range map[string]struct {
		hosts []string
		rules []Rule
		want  string
	}{
		"no hosts":         {nil, nil, "a name and hosts are needed"},
		"a URL":            {[]string{"https://api.example"}, nil, `host "https://api.example"`},
		"a wrong port":     {[]string{"api.example:0"}, nil, "the port is not a number"},
		"never opened":     {[]string{"api.example"}, []Rule{{Host: "api.example", Inspect: InspectNever}}, "inspect: never cannot hold"},
		"carried as it is": {[]string{"api.example"}, []Rule{{Host: "api.example", Port: 443, TCP: true}}, "tcp cannot hold"},
		"below a wildcard": {[]string{"*.wild.example"}, []Rule{{Host: "*.wild.example", Inspect: InspectNever}}, "inspect: never cannot hold"},
		"another port":     {[]string{"api.example"}, []Rule{{Host: "api.example", Port: 22, TCP: true}}, ""},
		"an exception":     {[]string{"a.wild.example"}, []Rule{{Host: "*.wild.example", Inspect: InspectNever}}, ""},
	} {
		e := withSecret(test.hosts...)
		e.Rules = test.rules
		_, err := Compile(e)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
		if rule := new(RuleError); strings.Contains(test.want, "cannot hold") && !errors.As(err, &rule) {
			t.Errorf("%s: the error does not say which rule", what)
		}
	}
}

func TestUses(t *testing.T) {
	p, err := Compile(withSecret("api.example"))
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"api.example", "api.example:8443", "other.example", "x.wild.example", "*.x.wild.example", "*.example", "git.example", "git.example:8443", "wild.example"}
	want := []string{"api.example", "x.wild.example", "*.x.wild.example", "*.example", "git.example:8443"}
	if got := p.Uses(Secret{Hosts: hosts}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
