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
	if got, err = AddRules([]byte(before), "other", []policy.Rule{{Host: "new.example"}}); err != nil || !HasList(got, "other", Allowlist) || HasList([]byte(before), "other", Allowlist) {
		t.Errorf("%v\n%s", err, got)
	}
	for _, data := range []string{"", "bottles: {}\n", "bottles: [work]\n", "a: &x {b: c}\nbottles: {work: *x}\n", "bottles:\n"} {
		if got, err := AddRules([]byte(data), "work", []policy.Rule{{Host: "b.example"}}); !errors.Is(err, ErrNotHere) {
			t.Errorf("%q: %v %s", data, err, got)
		}
	}
}

// What is added for one bottle is not added for those that share its egress.
func TestAddRulesSharesNothing(t *testing.T) {
	for _, data := range []string{
		"x-e: &e {allowlist: [a.example]}\nbottles: {work: {egress: *e}}\n",
		"x-l: &l [a.example]\nbottles:\n  work:\n    egress:\n      allowlist: *l\n",
		"bottles:\n  work: &w\n    egress:\n      allowlist: [a.example]\n  other: *w\n",
		"bottles:\n  work:\n    egress: &e\n      allowlist:\n      - a.example\n  other:\n    egress: *e\n",
		"bottles:\n  work:\n    egress:\n      allowlist: &l\n      - a.example\n  other:\n    egress:\n      allowlist: *l\n",
	} {
		if got, err := AddRules([]byte(data), "work", []policy.Rule{{Host: "b.example"}}); !errors.Is(err, errShared) {
			t.Errorf("%q: %v %s", data, err, got)
		}
	}
}

// A manifest is changed at one place, and stays as its person wrote it
// everywhere else.
func TestAddRulesKeepsTheText(t *testing.T) {
	rules := []policy.Rule{{Host: "new.example"}, {Host: "n.example", Port: 80, Methods: []string{"GET"}, Paths: []string{"/a b"}}}
	for name, tt := range map[string]struct{ before, after string }{
		"line ends of Windows": {
			"# mine\r\nbottles:\r\n  work: # x\r\n    egress:\r\n      allowlist:\r\n        - a.example # the API\r\n\r\n  # other\r\n  other: {}\r\n",
			"# mine\r\nbottles:\r\n  work: # x\r\n    egress:\r\n      allowlist:\r\n        - a.example # the API\r\n        - new.example\r\n" +
				"      rules:\r\n        - {host: n.example, port: 80, methods: [GET], paths: [\"/a b\"]}\r\n\r\n  # other\r\n  other: {}\r\n",
		},
		"in brackets": {
			"bottles:\n  work:\n    egress: {allowlist: [a.example,  'it''s'  ], unlisted: ask} # c\n",
			"bottles:\n  work:\n    egress: {allowlist: [a.example,  'it''s', new.example  ], unlisted: ask, " +
				"rules: [{host: n.example, port: 80, methods: [GET], paths: [\"/a b\"]}]} # c\n",
		},
		"in brackets, on lines": {
			"bottles:\n  work:\n    egress:\n      allowlist: [\n        a.example, # the API ]\n        b.example, # more\n      ] # end\n",
			"bottles:\n  work:\n    egress:\n      allowlist: [\n        a.example, # the API ]\n        b.example,\n        new.example # more\n      ] # end\n" +
				"      rules:\n        - {host: n.example, port: 80, methods: [GET], paths: [\"/a b\"]}\n",
		},
		"no egress, indented by four, blank lines, aligned comments": {
			"bottles:\n    work:\n        env:\n            A: b   # aligned\n            LONG: \"x\"     # too\n\n\n    # c\nagents:\n    a: {bottle: work}\n",
			"bottles:\n    work:\n        env:\n            A: b   # aligned\n            LONG: \"x\"     # too\n" +
				"        egress:\n          allowlist:\n            - new.example\n          rules:\n" +
				"            - {host: n.example, port: 80, methods: [GET], paths: [\"/a b\"]}\n\n\n    # c\nagents:\n    a: {bottle: work}\n",
		},
		"nothing said of the bottle": {
			"bottles:\n  work: # mine\n",
			"bottles:\n  work: # mine\n    egress:\n      allowlist:\n        - new.example\n      rules:\n        - {host: n.example, port: 80, methods: [GET], paths: [\"/a b\"]}\n",
		},
		"empty brackets": {
			"bottles:\n  work: {}",
			"bottles:\n  work: {egress: {allowlist: [new.example], rules: [{host: n.example, port: 80, methods: [GET], paths: [\"/a b\"]}]}}",
		},
		"lists as far left as their key, text of several lines": {
			"bottles:\n  work:\n    env:\n      X: |\n        # a\n        - b\n    egress:\n      allowlist:\n      - 'a.example'\n      # - later.example\n      unlisted: ask\n    isolation: auto\n",
			"bottles:\n  work:\n    env:\n      X: |\n        # a\n        - b\n    egress:\n      allowlist:\n      - 'a.example'\n      - new.example\n      # - later.example\n      unlisted: ask\n" +
				"      rules:\n        - {host: n.example, port: 80, methods: [GET], paths: [\"/a b\"]}\n    isolation: auto\n",
		},
		"no end of the last line": {
			"bottles:\n  work:\n    egress:\n      allowlist:\n      - a.example",
			"bottles:\n  work:\n    egress:\n      allowlist:\n      - a.example\n      - new.example\n      rules:\n        - {host: n.example, port: 80, methods: [GET], paths: [\"/a b\"]}\n",
		},
		"JSON": {
			"{\"bottles\": {\"wörk\": {}, \"work\": {\n  \"egress\": {\n    \"allowlist\": [\n      \"a.example\"\n    ]\n  }\n}}}\n",
			"{\"bottles\": {\"wörk\": {}, \"work\": {\n  \"egress\": {\n    \"allowlist\": [\n      \"a.example\",\n      \"new.example\"\n    ],\n    " +
				"\"rules\": [{\"host\": \"n.example\", \"port\": 80, \"methods\": [\"GET\"], \"paths\": [\"/a b\"]}]\n  }\n}}}\n",
		},
		"letters beyond ASCII on the line": {
			"bottles: {wörk: {}, work: {egress: {allowlist: [ä.example]}}}\n",
			"bottles: {wörk: {}, work: {egress: {allowlist: [ä.example, new.example], rules: [{host: n.example, port: 80, methods: [GET], paths: [\"/a b\"]}]}}}\n",
		},
	} {
		got, err := AddRules([]byte(tt.before), "work", rules)
		if err != nil || string(got) != tt.after {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, tt.after)
		}
		if again, err := AddRules(got, "work", rules); err != nil || string(again) != string(got) {
			t.Errorf("%s: again: %v\n%s", name, err, again)
		}
	}
	for _, data := range []string{
		"bottles:\n  work:\n    egress: ~\n", "bottles:\n  work:\n    egress:\n      allowlist: null\n", "bottles:\n  work:\n    egress: !!map {}\n",
		"bottles:\n  work:\n    egress:\n      allowlist:\n      -\n        a.example\n", "bottles:\n  work:\n    egress: deny\n",
	} {
		if got, err := AddRules([]byte(data), "work", rules); !errors.Is(err, errForm) {
			t.Errorf("%q: %v\n%s", data, err, got)
		}
	}
}

func TestAddPreset(t *testing.T) {
	for before, after := range map[string]string{
		"bottles:\n  work: # mine\n    egress: {}\n":                    "presets: [npm]",
		"bottles:\n  work:\n    egress:\n      presets: [go] # mine\n":  "presets: [go, npm] # mine",
		"bottles:\n  work:\n    egress:\n      presets: [npm] # mine\n": "presets: [npm] # mine",
	} {
		got, err := AddPreset([]byte(before), "work", "npm")
		if err != nil || !strings.Contains(string(got), after) || !HasList(got, "work", PresetList) {
			t.Errorf("%v\n%s\nwant %s", err, got, after)
		}
	}
}
