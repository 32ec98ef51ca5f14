package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const homeManifest = `
bottles:
  work:
    env:
      TOKEN: ${TOKEN}
      ASKED: "?which one"
      PLAIN: of-home
      SAME: ${SAME}
    egress:
      allowlist: [one.example.com, two.example.com]
      ca: roots.pem
      proxy: http://me:hunter2@proxy.corp:3128
    isolation: runsc
    gateway: pipelock
    scan: {mode: block, canary: true}
agents:
  dev: {bottle: work, prompt: "of home", skills: [a, b]}
`

func withProject(t *testing.T, project string) (m *Manifest, root string, err error) {
	t.Helper()
	certificate, _ := authority(t)
	cwd, home := dirs(t, map[string]string{
		"home/claude-bottle.yaml": homeManifest, "home/roots.pem": certificate,
		"project/claude-bottle.yaml": project, "project/roots.pem": certificate,
	})
	m, err = Load(cwd, home)
	return m, filepath.Dir(home), err
}

// TestLettersThatLookAlike: the host of a secret, or any other, is shown so that
// letters of another alphabet cannot be taken for those of a host that is known.
func TestLettersThatLookAlike(t *testing.T) {
	const evil, meant = "api.git\u04bbub.com", "api.xn--gitub-0kf.com"
	cwd, home := dirs(t, map[string]string{"project/claude-bottle.yaml": strings.ReplaceAll(`
bottles:
  work:
    env:
      TOKEN: {secret: "${GITHUB_TOKEN}", hosts: [EVIL]}
    egress:
      allowlist: ["EVIL:8443"]
      rules: [{host: "*.EVIL", methods: [GET]}]
      no_proxy: [EVIL]
      proxy: http://EVIL:3128
      resolve: {EVIL: 192.0.2.1}
agents: {dev: {bottle: work, prompt: "Schreibe auf D\u00fctsch."}}
`, "EVIL", evil)})
	m, err := Load(cwd, home)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range m.Project().Changes {
		if strings.ContainsRune(line, '\u04bb') {
			t.Errorf("the person reads %s", line)
		}
	}
	if all := strings.Join(m.Project().Changes, "\n"); !strings.Contains(all, "D\u00fctsch") || strings.Count(all, `\u04bb`) != 5 {
		t.Errorf("the changes are\n%s", all)
	}
	_, bottle, err := m.Agent("dev")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{bottle.Egress.Allowlist[0], bottle.Egress.Rules[0].Host, bottle.Egress.NoProxy[0], bottle.Env[0].Use.Hosts[0]}
	if want := []string{meant + ":8443", "*." + meant, meant, meant}; !slices.Equal(got, want) {
		t.Errorf("the hosts are %q, want %q", got, want)
	}
}

func TestChanges(t *testing.T) {
	m, root, err := withProject(t, `
x-ignored: 1
bottles:
  work:
    env: {PLAIN: of-project, NEW: "${NEW}", SAME: "${SAME}", ca: {value: "\e[2Jfake"}}
    egress:
      allowlist: [two.example.com, evil.example.com, "*.evil.example.net"]
      ca: ../home/roots.pem
      private: [10.0.0.0/8]
      presets: [npm, go]
      rules:
        - {host: api.example.com, port: 8443, methods: [GET, POST], paths: ["/v1/**"], budget: 1MB}
        - {host: evil.example.com, port: 22, tcp: true}
        - {host: one.example.com, deny: true}
      unlisted: ask
    isolation: auto
    limits: {cpus: 4}
  theirs:
    egress: {ca: roots.pem, proxy: "http://u:hunter3@127.0.0.1:1"}
    scan: {mode: warn}
  empty: {}
agents:
  dev: {bottle: theirs, prompt: "line\nline\u202e", harness: {command: [sh, -c, "x y"]}, skills: []}
  new: {bottle: work, prompt: `+strings.Repeat("a", 400)+`}
`)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(m.Project().Changes, "\n") + "\n"
	golden(t, "testdata/changes.golden", root, got)
	for _, hidden := range []string{"hunter2", "hunter3", "of-home", "\x1b", "\u202e"} {
		if strings.Contains(got, hidden) {
			t.Errorf("the changes show %q", hidden)
		}
	}
}

func TestNoChanges(t *testing.T) {
	m, _, err := withProject(t, strings.ReplaceAll(homeManifest, "roots.pem", "../home/roots.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Project().Changes) != 0 {
		t.Errorf("a copy of home's changes nothing, but: %q", m.Project().Changes)
	}
}

// TestHomeIsGuarded tries each thing that a trusted project may not do.
func TestHomeIsGuarded(t *testing.T) {
	_, root, err := withProject(t, `
bottles:
  work:
    env:
      TOKEN: ${OTHER}
      ASKED: "?which one, please"
      SAME: {value: "${SAME}"}
      PLAIN: may change
    egress:
      ca: roots.pem
      proxy: http://127.0.0.1:8080
    gateway: builtin
    mounts: [/home/me/.ssh]
    nested: true
    scan: {mode: warn, canary: false}
  theirs:
    mounts: [/opt/toolchain]
    nested: true
  fewer: {mounts: [], nested: false}
`)
	var list Errors
	if !errors.As(err, &list) || len(list) != 12 {
		t.Fatalf("want twelve errors, got %v", err)
	}
	golden(t, "testdata/guard.golden", root, err.Error()+"\n")
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("an error shows the password of home's proxy")
	}
}

// TestHash computes the hash as a person with a shell would.
func TestHash(t *testing.T) {
	m, root, err := withProject(t, "bottles: {z: {egress: {ca: roots.pem}}, a: {egress: {ca: ./roots.pem}}}\n")
	if err != nil {
		t.Fatal(err)
	}
	project := m.Project()
	names := []string{filepath.Join(root, "project/claude-bottle.yaml"), filepath.Join(root, "project/roots.pem")}
	sum := sha256.New()
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%s\x00%d\x00%s", name, len(data), data)
	}
	if want := hex.EncodeToString(sum.Sum(nil)); project.Hash != want {
		t.Errorf("hash %s, want %s", project.Hash, want)
	}
	if got := strings.Join(project.Files, " "); got != strings.Join(names, " ") {
		t.Errorf("files %s", got)
	}
	certificate, _ := authority(t)
	write(t, names[1], certificate)
	again, err := Load(filepath.Join(root, "project"), filepath.Join(root, "home"))
	if err != nil {
		t.Fatal(err)
	}
	if again.Project().Hash == project.Hash || again.Hash() == m.Hash() {
		t.Error("another certificate under the same name has the same hash")
	}
}

// TestHashIsOfWhatWasParsed changes the file while it is loaded: whatever the
// loader saw, the hash must be of that.
func TestHashIsOfWhatWasParsed(t *testing.T) {
	cwd, home := dirs(t, nil)
	path := filepath.Join(cwd, "claude-bottle.json")
	contents := []string{`{"agents":{},"bottles":{"one":{}}}`, `{"bottles":{"two":{"isolation":"runc"}}}`}
	hashes := map[string]string{}
	for i, name := range []string{"one", "two"} {
		hashes[name] = hash([]Source{{Path: path, data: []byte(contents[i])}})
	}
	write(t, path, contents[0])
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if os.WriteFile(path+".new", []byte(contents[i%2]), 0o600) != nil || os.Rename(path+".new", path) != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	seen := map[string]bool{}
	for range 500 {
		m, err := Load(cwd, home)
		if err != nil {
			t.Fatal(err)
		}
		for name := range m.Bottles {
			seen[name] = true
			if m.Project().Hash != hashes[name] {
				t.Fatalf("parsed %q, hashed something else", name)
			}
		}
	}
	if len(seen) != 2 {
		t.Logf("the file was never seen to change: %v", seen)
	}
}
