package bottle

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/provision"
	"claude-bottle/internal/scan"
)

// What is looked for is what only the run knows.
func TestTelling(t *testing.T) {
	for _, test := range []struct {
		name, value string
		asked       bool
		want        string
	}{
		{"NPM_TOKEN", "npm-token-1", false, "npm-token-1"},
		{"DEPLOY_KEY", "correct horse battery", false, "correct horse battery"},
		{"ANY", "whatever was typed", true, "whatever was typed"},
		{"ANY", "1234567", true, "1234567"},
		{"NPM_TOKEN", "short", false, "short"},
		{"NODE_ENV", "development", false, ""},
		{"HTTP_TIMEOUT", "30000000", false, ""},
		{"IMAGE", "node-22.1.0-alpine3.19-slim", false, ""},
		{"GIT_AUTHOR_NAME", "Somebody Somewhere", false, ""},
		{"REGISTRY", "https://registry.example.com/npm/public", false, ""},
		{"LOOKS_RANDOM", "9f8e7d6c5b4a39281706f5e4d3c2b1a0", false, "9f8e7d6c5b4a39281706f5e4d3c2b1a0"},
		{"DATABASE_URL", "postgres://me:pass-word-1@db.example.com:5432/x", false, "pass-word-1"},
		{"DATABASE_URL", "postgres://me@db.example.com:5432/x", false, ""},
		{"WORKDIR", "/home/somebody/projects/some-long-name", false, ""},
	} {
		if got := telling(test.asked, test.name, test.value); got != test.want {
			t.Errorf("%s=%s: %q, want %q", test.name, test.value, got, test.want)
		}
	}
}

func TestWatch(t *testing.T) {
	spec := Spec{Env: []environ.Entry{
		{Name: "TOKEN", Kind: environ.Host, Source: "T"},
		{Name: "MODE", Kind: environ.Host, Source: "M"},
		{Name: "PASSWORD", Kind: environ.Host, Source: "P"},
	}}
	lookup := func(name string) (string, bool) {
		return map[string]string{"T": "a-token-of-some-kind", "M": "production", "P": "short"}[name], true
	}
	secrets, err := environ.Gather(context.Background(), spec.Env, environ.Sources{Lookup: lookup})
	if err != nil {
		t.Fatal(err)
	}
	watched, files := watch(spec, secrets)
	if len(watched) != 1 || watched[0].Name != "TOKEN" || string(watched[0].Value) != "a-token-of-some-kind" || files != nil {
		t.Errorf("%v, %v", watched, files)
	}
	if got := TooShort(spec, secrets); !slices.Equal(got, []string{"PASSWORD"}) {
		t.Errorf("too short: %q", got)
	}
	spec.Gateway = Pipelock
	if watched, files := watch(spec, secrets); watched != nil || files != nil {
		t.Errorf("for another gateway: %v, %v", watched, files)
	}
}

// Decoys are credentials of a known form that a program finds and none uses.
func TestDecoys(t *testing.T) {
	watched, files := watch(Spec{Canary: true}, environ.Secrets{})
	if len(watched) != 2 || len(files) != 2 {
		t.Fatalf("%v, %v", watched, files)
	}
	again, _ := watch(Spec{Canary: true}, environ.Secrets{})
	s, err := scan.New(scan.Options{Rows: scan.Table()})
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		if !watched[i].Decoy || !bytes.Contains(file.Data, watched[i].Value) || file.Mode != 0o600 || bytes.Equal(watched[i].Value, again[i].Value) {
			t.Errorf("%s: %q", file.Path, file.Data)
		}
	}
	stream := s.Stream()
	if found := append(stream.Write(files[0].Data), stream.Close()...); len(found) != 2 {
		t.Errorf("a thief would not take it for a key: %v", found)
	}
	if strings.Contains(string(files[0].Data), "[default]") {
		t.Error("the decoy is the profile that programs use by themselves")
	}
	own := provision.File{Root: provision.Home, Path: ".aws/credentials"}
	watched, files = watch(Spec{Canary: true, Files: []provision.File{own}}, environ.Secrets{})
	if len(watched) != 1 || len(files) != 1 || files[0].Path == own.Path {
		t.Errorf("the bottle's own file is overwritten: %v", files)
	}
}

func TestResolveScan(t *testing.T) {
	in := person(t, `
bottles:
  seen: {scan: {mode: redact, canary: true}}
  said: {scan: {mode: block}, egress: {inspect: auto, allowlist: [api.anthropic.com, a.example]}}
  plain: {egress: {allowlist: [a.example]}}
agents:
  seen: {bottle: seen}
  said: {bottle: said}
  plain: {bottle: plain}
`)
	for agent, want := range map[string]struct {
		inspect, mode string
		canary, warns bool
	}{
		"seen":  {policy.InspectAlways, policy.ScanRedact, true, false},
		"said":  {policy.InspectAuto, policy.ScanBlock, false, true},
		"plain": {"", "", false, false},
	} {
		in.Agent = agent
		spec, err := Resolve(in)
		if err != nil {
			t.Fatal(err)
		}
		warns := slices.ContainsFunc(spec.Warnings, func(w string) bool { return strings.HasPrefix(w, "scan: nothing is seen") })
		if spec.Egress.Inspect != want.inspect || spec.Egress.Scan.Mode != want.mode || spec.Canary != want.canary || warns != want.warns {
			t.Errorf("%s: %+v, canary %v, %q", agent, spec.Egress.Scan, spec.Canary, spec.Warnings)
		}
		for _, allow := range spec.Egress.Allow {
			if allow.Host == "api.anthropic.com" && !allow.Harness {
				t.Errorf("%s: the harness's host is not known for it: %+v", agent, allow)
			}
		}
	}
}
