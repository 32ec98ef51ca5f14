package bottle

import (
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/manifest"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/preset"
)

const presetManifest = `
bottles: {work: {egress: {presets: [npm, debian]}}, bare: {}}
agents:
  shell: {bottle: work, harness: {command: [bash]}}
  plain: {bottle: bare, harness: {command: [bash]}}
`

// TestPresetsAreReadOnly: on its one port, by GET and HEAD.
func TestPresetsAreReadOnly(t *testing.T) {
	in := person(t, presetManifest)
	in.Agent = "shell"
	in.Presets = preset.Table{
		"npm":    {{Host: "npm.mirror.example", Port: 443, Open: true}},
		"debian": {{Host: "deb.mirror.example", Port: 8080, Paths: []string{"/debian/**"}}},
		"go":     {{Host: "go.mirror.example", Port: 443}},
	}
	spec, err := Resolve(in)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := policy.Compile(spec.Egress)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		kind policy.Kind
		host string
		port int
		what string
		want bool
		rule string
	}{
		{policy.HTTPS, "npm.mirror.example", 443, "GET /x", true, "bottle work, preset npm"},
		{policy.HTTPS, "npm.mirror.example", 443, "HEAD /@a%2fb", true, "bottle work, preset npm"},
		{policy.HTTPS, "npm.mirror.example", 443, "PUT /x", false, ""},
		{policy.HTTPS, "npm.mirror.example", 443, "POST /-/npm/v1/security", false, ""},
		{policy.HTTP, "npm.mirror.example", 80, "GET /x", false, ""},
		{policy.HTTP, "deb.mirror.example", 8080, "GET /debian/x", true, "bottle work, preset debian"},
		{policy.HTTP, "deb.mirror.example", 8080, "GET /ubuntu", false, ""},
		{policy.HTTP, "deb.mirror.example", 8080, "DELETE /debian/x", false, ""},
		{policy.HTTPS, "go.mirror.example", 443, "GET /x", false, ""},
	} {
		method, path, _ := strings.Cut(tt.what, " ")
		d := compiled.Decide(policy.Request{Kind: tt.kind, Host: tt.host, Port: tt.port, Method: method, Path: path})
		if d.Allow != tt.want || !strings.Contains(d.Rule, tt.rule) {
			t.Errorf("%s %s:%d: %+v", tt.what, tt.host, tt.port, d)
		}
	}
	if d := compiled.Decide(policy.Request{Kind: policy.Connect, Host: "npm.mirror.example", Port: 443}); !d.Allow || !d.Inspect {
		t.Errorf("a tunnel is not opened: %+v", d)
	}
	joined := strings.Join(spec.Warnings, "\n")
	if !strings.Contains(joined, "preset npm: anyone's uploads may be handed out by npm.mirror.example:") || strings.Contains(joined, "preset debian") {
		t.Errorf("warnings: %s", joined)
	}
}

// TestPresetOfTheImage: that the image, and not this machine, says a host is said
// in the plan.
func TestPresetOfTheImage(t *testing.T) {
	in := person(t, presetManifest)
	in.Agent = "shell"
	in.Presets = preset.Table{
		"npm":    {{Host: "npm.image.example", Port: 443, Image: "NPM_CONFIG_REGISTRY"}},
		"debian": {{Host: "deb.mirror.example", Port: 80}},
	}
	spec, err := Resolve(in)
	joined := strings.Join(spec.Warnings, "\n")
	if err != nil || !strings.Contains(joined, "preset npm: npm.image.example is what the image says, by NPM_CONFIG_REGISTRY,") || strings.Contains(joined, "deb.mirror") {
		t.Errorf("%v\n%s", err, joined)
	}
}

// TestPresetUnknown: what was not looked up is refused, and what is not used
// is not needed.
func TestPresetUnknown(t *testing.T) {
	in := person(t, presetManifest)
	in.Agent = "shell"
	in.Presets = preset.Table{"npm": {{Host: "npm.mirror.example", Port: 443}}}
	if _, err := Resolve(in); err == nil || !strings.Contains(err.Error(), "bottle work: egress.presets: nothing is known of debian") {
		t.Errorf("error %v", err)
	}
	in.Agent, in.Presets = "plain", nil
	if spec, err := Resolve(in); err != nil || len(spec.Egress.Rules) != 0 {
		t.Errorf("%v, %v", spec.Egress.Rules, err)
	}
}

// TestPresetNames: what a manifest may name can be looked up.
func TestPresetNames(t *testing.T) {
	if names := slices.Sorted(slices.Values(manifest.Presets())); !slices.Equal(names, preset.Names()) {
		t.Errorf("a manifest has %q, and known are %q", names, preset.Names())
	}
}
