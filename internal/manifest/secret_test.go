package manifest

import (
	"reflect"
	"strings"
	"testing"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
)

const brokeredHome = `
bottles:
  work:
    env:
      GITHUB_TOKEN: {secret: "${GITHUB_TOKEN}", hosts: [api.github.com], paths: ["/repos/acme/**"]}
      AWS_SECRET_ACCESS_KEY:
        secret: ${KEY}
        hosts: ["*.amazonaws.com:443"]
        sigv4: {key_id: "${KEY_ID}"}
      PASS: {secret: {command: [pass, show, x]}, hosts: [pass.example]}
      TRACKER: {secret: "?key", hosts: ["tracker.example:8443"]}
      ANTHROPIC_API_KEY: ${ANTHROPIC_API_KEY}
    egress: {allowlist: [api.github.com]}
`

// A trusted project gets a secret that home has the gateway hold in no other
// way than home's: not readable, not elsewhere, and no other way to its hosts.
func TestBrokeredSecretsAreGuarded(t *testing.T) {
	for project, want := range map[string]string{
		"work: {env: {GITHUB_TOKEN: '${GITHUB_TOKEN}'}}":                                                   "whose source and use no project may change",
		"work: {env: {GITHUB_TOKEN: {value: x}}}":                                                          "whose source and use no project may change",
		"work: {env: {GITHUB_TOKEN: {secret: '${GITHUB_TOKEN}', hosts: [api.github.com]}}}":                "whose source and use no project may change",
		"work: {env: {GITHUB_TOKEN: {secret: '${GITHUB_TOKEN}', hosts: [evil.example]}}}":                  "whose source and use no project may change",
		"work: {env: {COPY: '${GITHUB_TOKEN}'}}":                                                           "which no project may use in another way",
		"mine: {env: {COPY: '${GITHUB_TOKEN}'}}":                                                           "which no project may use in another way",
		"mine: {env: {COPY: {secret: '${GITHUB_TOKEN}', hosts: [evil.example]}}}":                          "which no project may use in another way",
		"mine: {env: {COPY: '${KEY_ID}'}}":                                                                 "which no project may use in another way",
		"mine: {env: {X_SECRET_ACCESS_KEY: {secret: '${X}', hosts: [a.b], sigv4: {key_id: '${KEY_ID}'}}}}": "which no project may use in another way",
		"work: {egress: {ca: roots.pem}}":                                                                  "no project may say who sees it",
		"work: {egress: {proxy: 'http://127.0.0.1:1'}}":                                                    "no project may say who sees it",
		"work: {egress: {resolve: {API.github.com: 203.0.113.5}}}":                                         "no project may say where it is",
		"work: {egress: {resolve: {sts.amazonaws.com: 203.0.113.5}}}":                                      "no project may say where it is",

		"mine: {env: {COPY: {secret: {command: [gh, auth, token]}, hosts: [evil.example]}}}":                   "project/claude-bottle.yaml:2:31: bottles.mine.env.COPY.secret: only home's manifest takes secrets from a command or from the keychain",
		"mine: {env: {COPY: {secret: {keychain: CLAUDE_BOTTLE_OAUTH_TOKEN}, hosts: [evil.example]}}}":          "only home's manifest takes secrets",
		"mine: {env: {X_SECRET_ACCESS_KEY: {secret: '${X}', hosts: [a.b], sigv4: {key_id: {command: [id]}}}}}": "only home's manifest takes secrets",
		"work: {env: {PASS: {secret: {command: [id]}}}}":                                                       "only home's manifest takes secrets",
		"work: {env: {PASS: {hosts: [evil.example]}}}":                                                         "whose source and use no project may change",

		"work: {egress: {resolve: {tracker.example: 203.0.113.5}}}":                              "no project may say where it is",
		"work: {egress: {resolve: {Tracker.Example.: 203.0.113.5}}}":                             "no project may say where it is",
		"work: {env: {GITHUB_TOKEN: {paths: ['/**']}}}":                                          "whose source and use no project may change",
		"work: {env: {GITHUB_TOKEN: {anonymous: true}}}":                                         "whose source and use no project may change",
		"work: {env: {GITHUB_TOKEN: {own_credentials: true}}}":                                   "whose source and use no project may change",
		"work: {env: {AWS_SECRET_ACCESS_KEY: {sigv4: {session_token: '${X}'}}}}":                 "whose source and use no project may change",
		"work: {env: {TRACKER: {query: key}}}":                                                   "whose source and use no project may change",
		"mine: {env: {X: {secret: '${GITHUB_TOKEN}', hosts: [api.github.com], paths: ['/**']}}}": "which no project may use in another way",

		// The agent's own, which home holds without saying so.
		"mine: {env: {X: '${CLAUDE_BOTTLE_OAUTH_TOKEN}'}}":                                                                    "its source is the agent's own credential (CLAUDE_BOTTLE_OAUTH_TOKEN)",
		"mine: {env: {ANTHROPIC_API_KEY: '${ANTHROPIC_API_KEY}'}}":                                                            "the agent's own credential",
		"work: {env: {CLAUDE_CODE_OAUTH_TOKEN: {secret: '${CLAUDE_BOTTLE_OAUTH_TOKEN}', hosts: [evil.example]}}}":             "the agent's own credential",
		"mine: {env: {X: {secret: '${CLAUDE_CODE_OAUTH_TOKEN}', hosts: [evil.example]}}}":                                     "the agent's own credential",
		"mine: {env: {X_SECRET_ACCESS_KEY: {secret: '${X}', hosts: [a.b], sigv4: {key_id: '${CLAUDE_BOTTLE_OAUTH_TOKEN}'}}}}": "the agent's own credential",
		"mine: {gateway: pipelock}": "only home's manifest has another program decide",
		"work: {gateway: pipelock}": "only home's manifest has another program decide",

		// What is home's own, or has nothing to do with the secret, is allowed.
		"work: {env: {GH_TOKEN: {secret: '${GITHUB_TOKEN}', hosts: [api.github.com], paths: ['/repos/acme/**']}}}": "",
		"work: {egress: {resolve: {db.example.com: 203.0.113.5}, allowlist: [x.example]}}":                         "",
		"mine: {env: {OTHER: '${OTHER}'}, egress: {ca: roots.pem}}":                                                "",
		"work: {env: {ANTHROPIC_API_KEY: '${ANTHROPIC_API_KEY}'}, gateway: builtin}":                               "",
	} {
		certificate, _ := authority(t)
		cwd, home := dirs(t, map[string]string{
			"home/claude-bottle.yaml": brokeredHome, "project/claude-bottle.yaml": "bottles:\n  " + project + "\n", "project/roots.pem": certificate,
		})
		_, err := Load(cwd, home)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", project, err, want)
		}
	}
}

// A project's roots are known for what they are.
func TestProjectRootsAreMarked(t *testing.T) {
	certificate, _ := authority(t)
	for where, want := range map[string]bool{"home": false, "project": true} {
		cwd, home := dirs(t, map[string]string{
			where + "/claude-bottle.yaml": "bottles: {b: {egress: {ca: roots.pem}}}\n", where + "/roots.pem": certificate, "project/x": "",
		})
		m, err := Load(cwd, home)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Bottles["b"].Egress; got.ProjectRoots != want || got.Roots == "" {
			t.Errorf("%s: %v", where, got.ProjectRoots)
		}
	}
}

func TestSecretEntry(t *testing.T) {
	cwd, home := dirs(t, map[string]string{"home/claude-bottle.yaml": brokeredHome})
	m, err := Load(cwd, home)
	if err != nil {
		t.Fatal(err)
	}
	want := []environ.Entry{
		{
			Name: "GITHUB_TOKEN", Kind: environ.Host, Source: "GITHUB_TOKEN",
			Use: &policy.Secret{Name: "GITHUB_TOKEN", Hosts: []string{"api.github.com"}, Paths: []string{"/repos/acme/**"}},
		},
		{
			Name: "AWS_SECRET_ACCESS_KEY", Kind: environ.Host, Source: "KEY",
			Use:  &policy.Secret{Name: "AWS_SECRET_ACCESS_KEY", Hosts: []string{"*.amazonaws.com:443"}, SigV4: true},
			With: []environ.Entry{{Name: "AWS_ACCESS_KEY_ID", Kind: environ.Host, Source: "KEY_ID"}},
		},
		{
			Name: "PASS", Kind: environ.Command, Argv: []string{"pass", "show", "x"},
			Use: &policy.Secret{Name: "PASS", Hosts: []string{"pass.example"}},
		},
		{
			Name: "TRACKER", Kind: environ.Ask, Source: "key",
			Use: &policy.Secret{Name: "TRACKER", Hosts: []string{"tracker.example:8443"}},
		},
		{Name: "ANTHROPIC_API_KEY", Kind: environ.Host, Source: "ANTHROPIC_API_KEY"},
	}
	if got := m.Bottles["work"].Env; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
