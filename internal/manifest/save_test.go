package manifest

import (
	"errors"
	"strings"
	"testing"

	"claude-bottle/internal/policy"
)

func TestAddRules(t *testing.T) {
	const before = `# mine
bottles:
  # the one for work
  work:
    env: {A: b} # a literal
    egress:
      allowlist:
        - api.example.com # the API
        - "*.example.net"
  other:
    limits: {memory: 1GiB}
agents:
  a: {bottle: work}
`
	const after = `# mine
bottles:
  # the one for work
  work:
    env: {A: b} # a literal
    egress:
      allowlist:
        - api.example.com # the API
        - "*.example.net"
        - new.example
        - "*.wild.example"
        - new.example:8443
      rules:
        - {host: api.example.org, port: 443, methods: [GET], paths: [/v1/**]}
        - {host: db.example, port: 5432, tcp: true}
  other:
    limits: {memory: 1GiB}
agents:
  a: {bottle: work}
`
	got, err := AddRules([]byte(before), "work", []policy.Rule{
		{Host: "new.example"},
		{Host: "*.wild.example"},
		{Host: "api.example.com"},
		{Host: "new.example", Port: 8443},
		{Host: "api.example.org", Port: 443, Methods: []string{"GET"}, Paths: []string{"/v1/**"}},
		{Host: "db.example", Port: 5432, TCP: true},
	})
	if err != nil || string(got) != after {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err = AddRules([]byte(before), "other", []policy.Rule{{Host: "new.example"}}); err != nil || !ListsEgress(got, "other") || ListsEgress([]byte(before), "other") {
		t.Errorf("%v\n%s", err, got)
	}
	for _, data := range []string{"", "bottles: {}\n", "bottles: [work]\n", "a: &x {b: c}\nbottles: {work: *x}\n"} {
		if got, err := AddRules([]byte(data), "work", nil); !errors.Is(err, ErrNotHere) {
			t.Errorf("%q: %v %s", data, err, got)
		}
	}
	if _, err := AddRules([]byte("x-e: &e {allowlist: [a.example]}\nbottles: {work: {egress: *e}}\n"), "work", []policy.Rule{{Host: "b.example"}}); err == nil {
		t.Error("what others share was changed")
	}
}

func TestAddPreset(t *testing.T) {
	for before, after := range map[string]string{
		"bottles:\n  work: # mine\n    egress: {}\n":                    "presets: [npm]",
		"bottles:\n  work:\n    egress:\n      presets: [go] # mine\n":  "presets: [go, npm] # mine",
		"bottles:\n  work:\n    egress:\n      presets: [npm] # mine\n": "presets: [npm] # mine",
	} {
		got, err := AddPreset([]byte(before), "work", "npm")
		if err != nil || !strings.Contains(string(got), after) || !ListsEgress(got, "work") {
			t.Errorf("%v\n%s\nwant %s", err, got, after)
		}
	}
}
