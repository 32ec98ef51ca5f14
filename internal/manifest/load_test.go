package manifest

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/policy"
)

func TestLoadReadsEveryField(t *testing.T) {
	cwd, home := alone(t, "testdata/valid/full.yaml")
	m, err := Load(cwd, home)
	if err != nil {
		t.Fatal(err)
	}
	roots := m.Bottles["work"].Egress.Roots
	if !strings.HasPrefix(roots, "-----BEGIN CERTIFICATE-----\n") || strings.Contains(roots, "#") {
		t.Errorf("roots are not the certificates alone: %q", roots)
	}
	work := m.Bottles["work"]
	work.Egress.Roots = ""
	want := Bottle{
		Name: "work",
		Env: []environ.Entry{
			{Name: "NODE_ENV", Kind: environ.Literal, Value: "development"},
			{Name: "EMPTY", Kind: environ.Literal},
			{Name: "HTTP_TIMEOUT", Kind: environ.Host, Source: "HTTP_TIMEOUT"},
			{Name: "NPM_TOKEN", Kind: environ.Ask, Source: "npm token"},
			{Name: "ASKED", Kind: environ.Ask},
			{Name: "LITERAL", Kind: environ.Literal, Value: "?not a question"},
			{Name: "ALSO_LITERAL", Kind: environ.Literal, Value: "${NOT_A_NAME}"},
			{Name: "BUILD_DATE", Kind: environ.Literal, Value: "2026-01-02"},
			{Name: "_lower1", Kind: environ.Literal, Value: "x"},
		},
		Egress: Egress{
			Allowlist: []string{"api.example.net", "*.example.com", "uploads.example.com:8443"},
			Private:   []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd00:1::/32"), netip.MustParsePrefix("192.168.1.1/32")},
			Resolve:   map[string]netip.Addr{"db.example.com": netip.MustParseAddr("10.20.0.9"), "v6.example.com": netip.MustParseAddr("fd00:1::9")},
			CA:        filepath.Join(home, "roots.pem"),
			Proxy:     "http://proxy.corp:3128",
			NoProxy:   []string{"*.corp.example", "10.0.0.0/8"},
			Rules: []policy.Rule{
				{Host: "api.github.com", Methods: []string{"GET"}, Paths: []string{"/repos/acme/**"}, Inspect: "auto"},
				{Host: "uploads.example.com", Deny: true},
				{Host: "db.example.com", Port: 5432, TCP: true, Budget: 10_000_000},
			},
			Presets: []string{"npm", "pypi", "go", "crates", "maven", "rubygems", "debian", "github-read"},
			Inspect: "auto", Unlisted: "ask", Budget: 200_000_000,
		},
		Limits:    Limits{Memory: 4 << 30, CPUs: 1.5, PIDs: 4096, Disk: 20_500_000_000},
		Isolation: "runsc", Gateway: "builtin", Mounts: []string{"/opt/toolchain", filepath.Join(home, "go/bin")}, Toolchains: ToolchainsAuto, Nested: true,
	}
	comparable := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	addresses := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(want, work, comparable, addresses); diff != "" {
		t.Errorf("bottle (-want +got):\n%s", diff)
	}
	if got := m.Bottles["bare"]; got.Isolation != "auto" || got.Limits != (Limits{}) {
		t.Errorf("a bottle that says nothing: %+v", got)
	}
	agents := map[string]Agent{
		"reviewer": {Name: "reviewer", Bottle: "work", Harness: HarnessClaude, Skills: []string{"code-review", "v2.x", "_mine"}, Prompt: "You review Go code.\nBe brief.\n"},
		"Go Shell": {Name: "Go Shell", Bottle: "bare", Harness: HarnessCommand, Command: []string{"bash", "-l", ""}},
	}
	if diff := cmp.Diff(agents, m.Agents); diff != "" {
		t.Errorf("agents (-want +got):\n%s", diff)
	}
}

func TestLoadMergesByKey(t *testing.T) {
	cwd, home := dirs(t, map[string]string{
		"home/claude-bottle.json": `{
  "bottles": {"work": {
    "env": {"A": "home", "B": "home", "C": {"value": "home"}},
    "egress": {"allowlist": ["one.example.com", "two.example.com"], "resolve": {"a.example.com": "198.51.100.1"}},
    "isolation": "runc"}},
  "agents": {"dev": {"bottle": "work", "prompt": "home", "harness": {"command": ["bash", "-l"]}}}}`,
		"project/claude-bottle.yaml": `
bottles:
  work:
    env: {B: project, C: project, D: project}
    egress: {allowlist: [three.example.com], resolve: {b.example.com: 198.51.100.2}}
agents:
  dev: {prompt: project, harness: claude}
  new: {bottle: work}
`,
	})
	m, err := Load(cwd, home)
	if err != nil {
		t.Fatal(err)
	}
	bottle := m.Bottles["work"]
	var env []string
	for _, e := range bottle.Env {
		env = append(env, e.Name+"="+e.Value)
	}
	if got := strings.Join(env, " "); got != "A=home B=project C=project D=project" {
		t.Errorf("env: %s", got)
	}
	if got := strings.Join(bottle.Egress.Allowlist, " "); got != "three.example.com" {
		t.Errorf("a list is replaced; got %s", got)
	}
	if len(bottle.Egress.Resolve) != 2 || bottle.Isolation != "runc" {
		t.Errorf("objects merge: %+v", bottle)
	}
	if dev := m.Agents["dev"]; dev.Prompt != "project" || dev.Harness != HarnessClaude || dev.Command != nil || dev.Bottle != "work" {
		t.Errorf("dev: %+v", dev)
	}
	for _, place := range []struct {
		keys   string
		origin Origin
		line   int
	}{
		{"bottles work env A", Home, 3},
		{"bottles work env B", Project, 4},
		{"bottles work isolation", Home, 5},
		{"agents new bottle", Project, 8},
	} {
		at, ok := m.At(strings.Fields(place.keys)...)
		if !ok || at.Origin != place.origin || at.Line != place.line {
			t.Errorf("At %s: %v %s, %t", place.keys, at, at.Origin, ok)
		}
	}
	if _, ok := m.At("bottles", "work", "egress", "ca"); ok {
		t.Error("At finds what nobody wrote")
	}
}

func TestLoadReportsBothFilesInOrder(t *testing.T) {
	cwd, home := dirs(t, map[string]string{
		"home/claude-bottle.yaml":    "bottles:\n  b: {limits: {cpus: 0}}\nagents: {a: {bottle: c}}\n",
		"project/claude-bottle.json": `{"agents": {"a": {"skills": [".."]}, "z": {}}}`,
	})
	_, err := Load(cwd, home)
	var list Errors
	if !errors.As(err, &list) {
		t.Fatalf("error is a %T: %v", err, err)
	}
	golden(t, "testdata/both.golden", filepath.Dir(home), err.Error()+"\n")
}

// TestLoadJudgesNoHalf keeps quiet about undefined bottles while the file that
// may define them cannot be read.
func TestLoadJudgesNoHalf(t *testing.T) {
	cwd, home := dirs(t, map[string]string{
		"home/claude-bottle.yaml":    "bottles: {b: {}}\nagents: [\n",
		"project/claude-bottle.json": `{"agents": {"a": {"bottle": "b"}}}`,
	})
	_, err := Load(cwd, home)
	if err == nil || strings.Contains(err.Error(), "no bottle") {
		t.Errorf("error: %v", err)
	}
}

func TestHomeIsCountedOnce(t *testing.T) {
	_, home := dirs(t, map[string]string{"home/claude-bottle.yaml": "bottles: {b: {}}\n"})
	link := filepath.Join(filepath.Dir(home), "link")
	if err := os.Symlink(home, link); err != nil {
		t.Fatal(err)
	}
	for _, cwd := range []string{home, link, home + "/."} {
		m, err := Load(cwd, home)
		if err != nil {
			t.Fatal(err)
		}
		if m.Project() != nil || len(m.Files) != 1 || m.Files[0].Origin != Home {
			t.Errorf("from %s: %+v, project %v", cwd, m.Files, m.Project())
		}
	}
}

func TestNoHomeIsAProject(t *testing.T) {
	cwd, _ := dirs(t, map[string]string{"project/claude-bottle.yaml": "bottles: {b: {}}\n"})
	m, err := Load(cwd, "")
	if err != nil {
		t.Fatal(err)
	}
	if m.Project() == nil {
		t.Error("without a home, the working directory's manifest is taken for the person's own")
	}
}

func TestFilesThatAreNoManifest(t *testing.T) {
	for _, test := range []struct {
		name, want string
		make       func(t *testing.T, cwd string)
	}{
		{"none", "no manifest: looked for claude-bottle.json", func(*testing.T, string) {}},
		{"two", "two manifests in one directory", func(t *testing.T, cwd string) {
			write(t, filepath.Join(cwd, "claude-bottle.json"), "{}")
			write(t, filepath.Join(cwd, "claude-bottle.yml"), "")
		}},
		{"fifo", "not a regular file", func(t *testing.T, cwd string) {
			if err := syscall.Mkfifo(filepath.Join(cwd, "claude-bottle.yaml"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"directory", "not a regular file", func(t *testing.T, cwd string) {
			if err := os.Mkdir(filepath.Join(cwd, "claude-bottle.json"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"device", "not a regular file", func(t *testing.T, cwd string) {
			if err := os.Symlink("/dev/zero", filepath.Join(cwd, "../home/claude-bottle.json")); err != nil {
				t.Fatal(err)
			}
		}},
		{"dangling link", "no such file", func(t *testing.T, cwd string) {
			if err := os.Symlink("gone", filepath.Join(cwd, "claude-bottle.json")); err != nil {
				t.Fatal(err)
			}
		}},
		{"large", "larger than 1024 KiB", func(t *testing.T, cwd string) {
			write(t, filepath.Join(cwd, "claude-bottle.yaml"), strings.Repeat("# long\n", maxFile/7+1))
		}},
		{"file of the kernel's", "holds no certificate", func(t *testing.T, cwd string) {
			write(t, filepath.Join(cwd, "claude-bottle.yaml"), "bottles: {work: {egress: {ca: /proc/version}}}")
			if data, err := ReadFile("/proc/version"); err != nil || len(data) > 0 {
				t.Errorf("ReadFile of a file that says it is empty: %q, %v", data, err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cwd, home := dirs(t, nil)
			test.make(t, cwd)
			done := make(chan error, 1)
			go func() {
				_, err := Load(cwd, home)
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error: %v, want %q", err, test.want)
				}
				if none := errors.Is(err, ErrNone); none != (test.name == "none") {
					t.Errorf("ErrNone: %t", none)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Load hangs")
			}
		})
	}
}

func TestLoadEdited(t *testing.T) {
	cwd, home := dirs(t, map[string]string{"home/claude-bottle.yaml": "bottles: {b: {}}\n"})
	path := filepath.Join(cwd, "claude-bottle.yaml")
	m, err := LoadEdited(cwd, home, path, []byte("agents: {a: {bottle: b}}\n"))
	if err != nil || m.Agents["a"].Bottle != "b" {
		t.Fatalf("%v, %v", m, err)
	}
	if _, err := LoadEdited(cwd, home, path, []byte("agents: {a: {bottle: c}}\n")); err == nil {
		t.Error("an undefined bottle passes")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a check wrote the file")
	}
}

func TestWarnings(t *testing.T) {
	cwd, home := dirs(t, map[string]string{"home/claude-bottle.yaml": `
bottles:
  work:
    env: {A: "x${B}", C: {value: "${D}"}, E: $F, G: "${not a name}", H: "x${I}"}
    egress: {proxy: "http://me:hunter2@proxy:3128"}
`, "project/claude-bottle.yaml": "bottles: {work: {env: {H: fine}}}\n"})
	m, err := Load(cwd, home)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, warning := range m.Warnings {
		lines = append(lines, warning.String())
	}
	got := strings.Join(lines, "\n") + "\n"
	golden(t, "testdata/warnings.golden", filepath.Dir(home), got)
	if strings.Contains(got, "hunter2") {
		t.Error("a warning shows the proxy's password")
	}
}

func TestAgent(t *testing.T) {
	cwd, home := dirs(t, map[string]string{"home/claude-bottle.yaml": "bottles: {b: {isolation: runc}}\nagents: {reviewer: {bottle: b}, dev: {bottle: b}}\n"})
	m, err := Load(cwd, home)
	if err != nil {
		t.Fatal(err)
	}
	agent, bottle, err := m.Agent("reviewer")
	if err != nil || agent.Name != "reviewer" || bottle.Isolation != "runc" {
		t.Errorf("%+v %+v %v", agent, bottle, err)
	}
	_, _, err = m.Agent("reveiwer")
	if err == nil || err.Error() != `no agent "reveiwer" in the manifest: did you mean "reviewer"?` || hint.Of(err) != "agents are: dev, reviewer" {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
	if _, _, err = m.Agent("x\x1b[2J"); strings.Contains(err.Error(), "\x1b") {
		t.Error("an escape sequence reaches the terminal")
	}
}

// TestErrorsAreBounded is about a file made to be wrong everywhere.
func TestErrorsAreBounded(t *testing.T) {
	keys := map[string]int{}
	for i := range 5000 {
		keys[strings.Repeat("k", 1+i%60)+strings.Repeat("é", i/60)] = i
	}
	data, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	cwd, home := dirs(t, map[string]string{"home/claude-bottle.json": string(data)})
	_, err = Load(cwd, home)
	if err == nil || len(err.Error()) > 100_000 || !strings.HasSuffix(err.Error(), " more") {
		t.Errorf("%d bytes of errors", len(err.Error()))
	}
}

// TestSearchesAreBounded is about a file of many words that mean nothing: for
// those that are shown, and no others, what was meant is looked for.
func TestSearchesAreBounded(t *testing.T) {
	if got := closest("egres", []string{"egress"}, make([]Problem, shownErrors-1)); got != "egress" {
		t.Errorf("the last that is shown: %q", got)
	}
	if got := closest("egres", []string{"egress"}, make([]Problem, shownErrors)); got != "" {
		t.Errorf("one that is not shown: %q", got)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0B": 0, "1B": 1, "1kB": 1000, "1KB": 1000, "512MB": 512_000_000, "1GB": 1e9, "2TB": 2e12,
		"1KiB": 1024, "4GiB": 4 << 30, "1.5GiB": 3 << 29, "1TiB": 1 << 40, "0.001kB": 1, "1.5B": 1,
	} {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("parseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "4", "4G", "512m", "4 GiB", "-1GB", "1e3MB", "GiB", "1.GiB", ".5GiB", "1mB", "1kiB", "999999999999TiB", "4GiB\n"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestClosest(t *testing.T) {
	known := []string{"env", "egress", "limits", "isolation", "allowlist"}
	for word, want := range map[string]string{
		"egres": "egress", "ergess": "egress", "limit": "limits", "Isolation": "isolation", "environment": "env",
		"alow-list": "allowlist", "zzz": "", "": "", "en": "env", strings.Repeat("egress", 100): "",
	} {
		if got := closest(word, known, nil); got != want {
			t.Errorf("closest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestProjectManifestIsNoLinkOut(t *testing.T) {
	cwd, home := dirs(t, map[string]string{"home/secret": "token: hunter2: [\n", "project/real.yaml": "agents: {}\n"})
	link := filepath.Join(cwd, "claude-bottle.yaml")
	if err := os.Symlink(filepath.Join(home, "secret"), link); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(cwd, home); err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "token") {
		t.Errorf("a link out of the project: %v", err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.yaml", link); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(cwd, home); err != nil {
		t.Errorf("a link within the project: %v", err)
	}
}
