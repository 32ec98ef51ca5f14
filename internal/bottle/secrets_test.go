package bottle

import (
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
)

// brokeredManifest has a secret of each kind.
const brokeredManifest = `
bottles:
  work:
    env:
      GITHUB_TOKEN: {secret: "${GITHUB_TOKEN}", hosts: [api.github.com, uploads.github.com], paths: ["/repos/acme/**"]}
      TRACKER_KEY: {secret: "?key", hosts: ["*.tracker.example:8443"], header: X-Api-Key, own_credentials: true, anonymous: true}
      WEATHER_KEY: {secret: "?key", hosts: [weather.example], query: appid, paths: ["/**"]}
      AWS_SECRET_ACCESS_KEY: {secret: "?", hosts: [s3.amazonaws.com], sigv4: {key_id: "?"}}
    egress: {allowlist: [api.github.com, "*.tracker.example:8443", "*.example", s3.amazonaws.com]}
agents: {dev: {bottle: work}}
`

// The plan says of each secret where it goes, and what could be misused; it
// says nothing of one that is readable, since none is.
func TestSecretsInThePlan(t *testing.T) {
	in := person(t, brokeredManifest)
	in.Agent = "dev"
	in.Lookup = environment(map[string]string{"GITHUB_TOKEN": canary, "ANTHROPIC_API_KEY": canary})
	spec := resolve(t, in)
	var printed strings.Builder
	if err := (Plan{Spec: spec}).Print(&printed); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"secrets        : GITHUB_TOKEN -> api.github.com uploads.github.com /repos/acme/** (a placeholder inside)\n",
		"               : TRACKER_KEY -> *.tracker.example:8443, header X-Api-Key, other credentials too, or none (a placeholder inside)\n",
		"               : WEATHER_KEY -> weather.example /**, query appid (a placeholder inside)\n",
		"               : AWS_SECRET_ACCESS_KEY, AWS_ACCESS_KEY_ID -> s3.amazonaws.com, signs (AWS) (a placeholder inside)\n",
		"               : CLAUDE_BOTTLE_API_KEY -> api.anthropic.com /v1/messages",
		"env (names only): GITHUB_TOKEN, TRACKER_KEY, WEATHER_KEY, AWS_SECRET_ACCESS_KEY, AWS_ACCESS_KEY_ID, CLAUDE_BOTTLE_API_KEY",
		"warning: secret GITHUB_TOKEN: egress does not allow uploads.github.com, so it cannot be used there",
		"warning: secret TRACKER_KEY: no path is limited",
		"warning: secret TRACKER_KEY: it is for every name below tracker.example:8443",
		"warning: secret WEATHER_KEY: no path is limited",
		"warning: secret WEATHER_KEY: it goes in the query (appid)",
		"warning: secret AWS_SECRET_ACCESS_KEY: the agent can do at s3.amazonaws.com whatever the key can",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("the plan lacks %q:\n%s", want, printed.String())
		}
	}
	for _, never := range []string{"readable inside", canary, "secret GITHUB_TOKEN: no path"} {
		if strings.Contains(printed.String(), never) {
			t.Errorf("the plan says %q", never)
		}
	}
	if !spec.Egress.Inspects() || len(spec.Egress.Secrets) != 5 {
		t.Errorf("%+v", spec.Egress.Secrets)
	}
}

// A secret opens TLS to its hosts and allows none.
func TestSecretAllowsNoHost(t *testing.T) {
	in := person(t, brokeredManifest)
	in.Agent = "dev"
	in.Lookup = environment(map[string]string{"GITHUB_TOKEN": canary})
	p, err := policy.Compile(resolve(t, in).Egress)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]policy.Decision{
		"api.github.com": {Allow: true, Inspect: true}, "uploads.github.com": {}, "a.example": {Allow: true},
	} {
		d := p.Decide(policy.Request{Kind: policy.Connect, Host: host, Port: 443})
		if d.Allow != want.Allow || d.Inspect != want.Inspect {
			t.Errorf("%s: %+v", host, d)
		}
	}
}

// The harness's credential is for its own server, and the plan says when the
// harness is led to another.
func TestCredentialDoesNotFollow(t *testing.T) {
	for value, warned := range map[string]bool{
		"https://api.anthropic.com": false, "https://evil.example": true, "http://api.anthropic.com:80": true, "::": true,
	} {
		in := person(t, `
bottles: {b: {env: {ANTHROPIC_BASE_URL: "`+value+`"}}}
agents: {dev: {bottle: b}}
`)
		in.Agent = "dev"
		in.Lookup = environment(map[string]string{"CLAUDE_BOTTLE_OAUTH_TOKEN": canary})
		spec := resolve(t, in)
		if got := slices.ContainsFunc(spec.Warnings, func(w string) bool { return strings.Contains(w, "is not sent there") }); got != warned {
			t.Errorf("%s: %q", value, spec.Warnings)
		}
		i := slices.IndexFunc(spec.Env, func(e environ.Entry) bool { return e.Name == "CLAUDE_CODE_OAUTH_TOKEN" })
		if i < 0 || !slices.Equal(spec.Env[i].Use.Hosts, []string{"api.anthropic.com"}) {
			t.Errorf("%s: %+v", value, spec.Env)
		}
	}
}

// pipelock holds no secret, so that the agent's own is readable there, and the
// plan says so.
func TestPipelockHoldsNoCredential(t *testing.T) {
	in := person(t, "bottles: {b: {gateway: pipelock}}\nagents: {dev: {bottle: b}}\n")
	in.Agent = "dev"
	in.Lookup = environment(map[string]string{"CLAUDE_BOTTLE_OAUTH_TOKEN": canary})
	spec := resolve(t, in)
	if len(spec.Egress.Secrets) != 0 || !slices.Contains(spec.Warnings, "env: the secret CLAUDE_CODE_OAUTH_TOKEN is readable inside the bottle") {
		t.Errorf("%+v %q", spec.Egress.Secrets, spec.Warnings)
	}
}
