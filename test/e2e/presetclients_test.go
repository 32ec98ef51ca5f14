package e2e_test

import (
	_ "embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/preset"
	"claude-bottle/test/engine"
	"claude-bottle/test/origins"
)

// presetClientsScript runs the clients of the preset that it is given.
//
//go:embed testdata/presetclients.sh
var presetClientsScript string

// read is what the clients of a preset say of what they read.
var read = map[string]map[string]string{
	"npm":         {"install": "hello from npm"},
	"pypi":        {"install": "hello from pip", "download": "bottle_hello-1.0.0-py3-none-any.whl"},
	"go":          {"install": "hello from go"},
	"crates":      {"install": "hello from cargo"},
	"maven":       {"install": "hello from maven"},
	"rubygems":    {"install": "hello from gem"},
	"debian":      {"install": "hello from apt"},
	"github-read": {"install": "hello from the archive", "api": `{"full_name": "acme/hello", "description": "hello from the API"}`},
}

// notWritten is what a client says, among more, of what it may not do.
var notWritten = map[string]map[string][]string{
	"npm":         {"upload": {"403", "claude-bottle"}},
	"pypi":        {"upload": {"403"}},
	"go":          {"upload": {"403"}},
	"crates":      {"upload": {"403", "claude-bottle"}},
	"maven":       {"upload": {"403"}},
	"rubygems":    {"upload": {"claude-bottle"}},
	"debian":      {"upload": {"403"}},
	"github-read": {"upload": {"403", "claude-bottle"}, "clone": {"403", "claude-bottle"}, "post": {"claude-bottle"}},
}

// TestPresetClients: with one preset and nothing else in the policy, its own
// clients install by it, unmodified, and what they would publish is refused in
// words that they show. The registries are this machine's own.
func TestPresetClients(t *testing.T) {
	engine.Long(t)
	for _, program := range []string{"bwrap", "curl", "python3", "/usr/bin/cargo", "mvn", "gem", "twine"} {
		engine.Tool(t, program)
	}
	o := origins.Start(t)
	o.AddPublic(t)
	mirror := addMirror(t, o)
	for _, name := range []string{"maven", "rubygems", "github-read"} { // none of them leads anywhere
		for _, host := range hostsHere(t, name) {
			o.AddNothing(host.Host)
		}
	}
	binary, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(shared.dir, "presets")
	p := &person{t: t, binary: binary, home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), project: filepath.Join(dir, "project")}
	p.fillWithClients(t, o, presetManifest(o, goRoot(t), mirror), nil)
	p.env = p.plainEnv()
	for _, name := range preset.Names() {
		t.Run(name, func(t *testing.T) {
			o.Asked()
			got := p.run("start", name, "--platform", "native", "--cwd", "--yes", "--", "WORKSPACE=$PWD; "+presetClientsScript, "-", name)
			said := map[string]string{}
			for line := range strings.Lines(got.stdout) {
				client, what, _ := strings.Cut(line, ": ")
				said[client] = strings.TrimSpace(what)
			}
			for client, want := range read[name] {
				if said[client] != want {
					t.Errorf("%s: %q, want %q", client, said[client], want)
				}
			}
			for client, words := range notWritten[name] {
				for _, word := range words {
					if !strings.Contains(said[client], word) || strings.Contains(said[client], "it worked") {
						t.Errorf("%s: %q, want %q", client, said[client], word)
					}
				}
			}
			asked := o.Asked()
			for _, request := range asked {
				if method := strings.Fields(request)[1]; method != "GET" && method != "HEAD" {
					t.Errorf("a server got %q", request)
				}
			}
			if t.Failed() || got.code != 0 {
				t.Errorf("code %d\n%s\n%s\nthe servers were asked:\n%s", got.code, got.stdout, got.stderr, strings.Join(asked, "\n"))
			}
		})
	}
}

// presetManifest has a bottle and an agent for each preset.
func presetManifest(o *origins.Origins, goroot, mirror string) string {
	var bottles, agents strings.Builder
	for _, name := range preset.Names() {
		fmt.Fprintf(&bottles, `  %s:
    env:
      GO_TOOLS: %s/bin
      MIRROR: %s
      NPM_CONFIG_REGISTRY: https://%s/
      PIP_INDEX_URL: https://%s/simple/
      GOPROXY: https://%s
      GONOSUMDB: "*"
      GOTOOLCHAIN: local
    egress: {ca: roots.pem, resolve: %s, private: %s, presets: [%s]}
`, name, goroot, mirror, origins.NPM, origins.PyPI, origins.Go, o.Resolve(), o.Private(), name)
		fmt.Fprintf(&agents, "  %s: {bottle: %s, harness: {command: [bash, -c]}}\n", name, name)
	}
	return "bottles:\n" + bottles.String() + "agents:\n" + agents.String()
}

// addMirror serves apt's repository under the first name that this machine's apt
// is configured for, and returns its address.
func addMirror(t *testing.T, o *origins.Origins) string {
	t.Helper()
	hosts := slices.DeleteFunc(hostsHere(t, "debian"), func(h preset.Host) bool { return h.Port != 80 && h.Port != 443 })
	if len(hosts) == 0 {
		t.Fatal("this machine's apt has no mirror at a usual port")
	}
	return o.AddMirror(t, hosts[0].Host, hosts[0].Port == 80)
}

// hostsHere are those of a preset for somebody with nothing configured.
func hostsHere(t *testing.T, name string) []preset.Host {
	t.Helper()
	table, err := preset.Clients{Home: t.TempDir(), Lookup: func(string) (string, bool) { return "", false }}.Find(t.Context(), []string{name})
	if err != nil {
		t.Fatal(err)
	}
	return table[name]
}
