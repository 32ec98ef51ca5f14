package manifest

import (
	"os"
	"path/filepath"
	"testing"
)

// dirs makes a home and a project directory with the given files, whose names
// begin with home/ or project/.
func dirs(t *testing.T, files map[string]string) (cwd, home string) {
	t.Helper()
	root := t.TempDir()
	cwd, home = filepath.Join(root, "project"), filepath.Join(root, "home")
	for _, dir := range []string{cwd, home} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cwd, home
}

func TestSmoke(t *testing.T) {
	cwd, home := dirs(t, map[string]string{
		"home/claude-bottle.yaml": `
bottles:
  work:
    env: {A: "1", B: "${B}", C: "?c", D: {value: "${D}"}, E: "x${Y}"}
    egress: {allowlist: [api.example.net, "*.example.com:8443"], private: [10.20.0.0/16], resolve: {db.example.com: 10.20.0.9}, proxy: "http://u:p@proxy:3128"}
    limits: {memory: 4GiB, cpus: 1.5, pids: 10, disk: 1.5GB}
agents:
  dev: {bottle: work, skills: [x]}
`,
		"project/claude-bottle.json": `{"agents": {"dev": {"prompt": "hi"}, "sh": {"bottle": "work", "harness": {"command": ["bash"]}}}}`,
	})
	m, err := Load(cwd, home)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v\n%+v\n%+v\n%+v", m.Bottles, m.Agents, m.Warnings, m.Project())
	cwd, home = dirs(t, map[string]string{"home/claude-bottle.yaml": `
bottels: {}
bottles:
  work:
    env: {A: 1, "B-C": x, HTTP_PROXY: x, D: {secret: x}, E: {vallue: x}, F: "a\nb"}
    egress: {allowlist: ["https://api.example.net/", 10.0.0.0/8, "a b"], private: [10.20.0.1/16, 0.0.0.0/0], resolve: {db.example.com: x}, proxy: "https://u:p@proxy:3128", rules: []}
    limits: {memory: 4G, cpus: 0x1, pids: 1.5, disk: 999999999999TiB}
    runtime: runsc
    isolation: runcs
agents:
  dev: {bottle: wrk, skills: [../x], harness: codex}
  dev: {bottle: wrk, skills: [../x]}
`})
	_, err = Load(cwd, home)
	t.Logf("\n%v", err)
}
