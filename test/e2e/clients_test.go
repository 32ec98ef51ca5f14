package e2e_test

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/test/engine"
	"claude-bottle/test/origins"
)

// clientsScript runs each client and prints a line `NAME: what it said`.
//
//go:embed testdata/clients.sh
var clientsScript string

// helloJava asks for the URL that it is given, as a program in Java does.
const helloJava = `import java.net.URI;
import java.net.http.*;

class Hello {
    public static void main(String[] args) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(args[0])).build();
        System.out.print(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
`

// wanted is what each client says where it works.
var wanted = map[string]string{
	"curl":      "hello from the web in HTTP/2.0",
	"curl1":     "hello from the web in HTTP/1.1",
	"upload":    "3000000 bytes",
	"wget":      "hello from the web in HTTP/1.1",
	"git":       "hello from git",
	"push":      "pushed",
	"node":      "hello from the web in HTTP/1.1",
	"npm":       "hello from npm",
	"pip":       "hello from pip",
	"apt":       "hello from apt",
	"go":        "hello from go",
	"goprogram": "hello from the web in HTTP/2.0 websocket again: a word",
	"cargo":     "hello from cargo",
	"deno":      "hello from the web in HTTP/2.0",
	"java":      "hello from the web in HTTP/2.0",
	"grpc":      strings.Join(strings.Fields(origins.GRPCSaid), " "),
}

// clientsManifest has two bottles beside each other: one whose TLS is opened,
// where presets and rules say what may be read, and one that names hosts alone.
// more is put below each.
func clientsManifest(o *origins.Origins, goroot, more string) string {
	bottle := func(name, egress string) string {
		return fmt.Sprintf(`  %s:
%s
    env:
      GO_TOOLS: %s/bin
      NPM_CONFIG_REGISTRY: https://%s/
      PIP_INDEX_URL: https://%s/simple/
      GOPROXY: https://%s
      GONOSUMDB: "*"
      GOTOOLCHAIN: local
    egress:
      ca: roots.pem
      resolve: %s
      private: %s
%s`, name, indent(more, 4), goroot, origins.NPM, origins.PyPI, origins.Go, o.Resolve(), o.Private(), egress)
	}
	return "bottles:\n" + bottle("opened", fmt.Sprintf(`      inspect: always
      presets: [npm, pypi, go, crates]
      rules:
        - {host: %s, methods: [GET], paths: ["/dists/**", "/pool/**"]}
        - {host: %s, methods: [GET], paths: [/hello, /talk, "/git/**"]}
        - {host: %s, methods: [POST], paths: [/count, "/git/**"]}
        - {host: %s, methods: [POST], paths: ["/test.Echo/*"]}
`, origins.APT, origins.Web, origins.Web, origins.GRPC)) +
		bottle("carried", "      allowlist: ["+strings.Join(origins.Names(), ", ")+"]\n") + `agents:
  opened: {bottle: opened, harness: {command: [bash, -c]}}
  carried: {bottle: carried, harness: {command: [bash, -c]}}
`
}

// TestRealClients: package managers and programs in several languages work
// unmodified, with TLS opened and carried, by the proxy variables and without.
// The registries are this machine's own.
func TestRealClients(t *testing.T) {
	engine.Long(t)
	for _, program := range []string{"bwrap", "curl", "wget", "java", "python3", "/usr/bin/cargo"} {
		engine.Tool(t, program)
	}
	o := origins.Start(t)
	newClientsPerson(t, o, "native", "").works(t, o, "native")
}

// works runs all clients in a bottle of each kind.
func (p *person) works(t *testing.T, o *origins.Origins, platform string) {
	t.Helper()
	for _, agent := range []string{"opened", "carried"} {
		t.Run(agent, func(t *testing.T) {
			o.Asked()
			got := p.run("start", agent, "--platform", platform, "--cwd", "--yes", "--", clientsScript)
			if got.code != 0 {
				t.Errorf("code %d\n%s", got.code, got.stderr)
			}
			said := map[string]string{}
			for line := range strings.Lines(got.stdout) {
				name, what, _ := strings.Cut(line, ": ")
				said[name] = strings.TrimSpace(what)
			}
			for client, want := range wanted {
				for _, way := range []string{"proxy", "plain"} {
					if name := client + " " + way; said[name] != want {
						t.Errorf("%s: %q, want %q", name, said[name], want)
					}
				}
			}
			if t.Failed() {
				t.Logf("%s\n%s\nthe servers were asked:\n%s", got.stdout, got.stderr, strings.Join(o.Asked(), "\n"))
			}
		})
	}
	p.sawInside(t)
}

// sawInside looks for what the gateway saw of requests in the bottle whose TLS
// was opened, and for nothing of the kind in the other's.
func (p *person) sawInside(t *testing.T) {
	t.Helper()
	records, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "runs", "*", "record", "egress.jsonl"))
	if err != nil || len(records) != 2 {
		t.Fatalf("%q, %v", records, err)
	}
	var opened []string
	for _, record := range records {
		inside := map[string]bool{}
		if _, err := audit.Read(record, func(e audit.Event) error {
			if e.Kind == policy.HTTPS {
				inside[string(e.Decision)+" "+e.Method+" "+e.Host] = true
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(inside) > 0 {
			opened = append(opened, record)
			for _, want := range []string{"allow GET " + origins.NPM, "allow GET " + origins.PyPI, "allow GET " + origins.Go, "allow GET " + origins.Crates, "allow POST " + origins.Web} {
				if !inside[want] {
					t.Errorf("no line for %s in %v", want, inside)
				}
			}
		}
	}
	if len(opened) != 1 {
		t.Errorf("%d runs had their TLS opened: want one", len(opened))
	}
}

// goRoot is where this machine's Go is.
func goRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// newClientsPerson has package clients that are configured for the registries
// of o, a manifest with a bottle of each kind, and programs in the project. name
// is of nobody else; GOROOT in more stands for where Go is.
func newClientsPerson(t *testing.T, o *origins.Origins, name, more string) *person {
	t.Helper()
	binary, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(shared.dir, "clients-"+name)
	p := &person{t: t, binary: binary, home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), project: filepath.Join(dir, "project")}
	p.fillWithClients(t, o, clientsManifest(o, goRoot(t), strings.ReplaceAll(more, "GOROOT", goRoot(t))), map[string]string{
		"grpcecho.py": origins.GRPCProgram,
	})
	out, err := exec.CommandContext(t.Context(), "cp", "-a", clientsPrograms(t)+"/.", p.project).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.env = p.plainEnv()
	return p
}

// clientsPrograms is a directory of the clients that are programs of ours, and of
// deno, made once for all tests.
func clientsPrograms(t *testing.T) string {
	t.Helper()
	made := filepath.Join(shared.dir, "clients-programs")
	if _, err := os.Stat(made); err == nil {
		return made
	}
	making, err := os.MkdirTemp(shared.dir, "making-")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"Hello.java": helloJava, "warm.go": "package main\n\nfunc main() { println() }\n"} {
		if err := os.WriteFile(filepath.Join(making, name), []byte(content), 0o644); err != nil { //nolint:gosec // G306: nothing secret
			t.Fatal(err)
		}
	}
	for _, command := range [][]string{
		{"go", "build", "-o", filepath.Join(making, "talk"), "claude-bottle/test/origins/cmd/talk"},
		// What Go compiles of its own library for the package that clients get.
		{"env", "GOCACHE=" + filepath.Join(making, "gocache"), "go", "build", "-o", "/dev/null", filepath.Join(making, "warm.go")},
		{"javac", "--release", "11", filepath.Join(making, "Hello.java")},
		{"cp", denoOnHost(t), filepath.Join(making, "deno")},
	} {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command[0], err, out)
		}
	}
	if err := errors.Join(os.Chmod(making, 0o755), os.Rename(making, made)); err != nil { //nolint:gosec // G302: it is copied
		t.Fatal(err)
	}
	return made
}

// fillWithClients gives the person a manifest, package clients that are
// configured for the registries of o, and files of a project.
func (p *person) fillWithClients(t *testing.T, o *origins.Origins, manifest string, project map[string]string) {
	t.Helper()
	cargo := "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+https://" + origins.Crates + "/index/\"\n"
	files := map[string]string{
		filepath.Join(p.home, "claude-bottle.yaml"):          manifest,
		filepath.Join(p.home, "roots.pem"):                   o.Roots,
		filepath.Join(p.home, ".npmrc"):                      "registry=https://" + origins.NPM + "/\n",
		filepath.Join(p.home, ".config", "pip", "pip.conf"):  "[global]\nindex-url = https://" + origins.PyPI + "/simple/\n",
		filepath.Join(p.home, ".config", "go", "env"):        "GOPROXY=https://" + origins.Go + "\nGOSUMDB=off\n",
		filepath.Join(p.home, ".cargo", "config.toml"):       cargo,
		filepath.Join(p.project, "cargo.toml"):               cargo,
		filepath.Join(p.state, "what is there is the run's"): "",
	}
	for name, content := range project {
		files[filepath.Join(p.project, name)] = content
	}
	for path, content := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil { //nolint:gosec // G306: nothing secret
			t.Fatal(err)
		}
	}
	for _, dir := range []string{shared.dir, filepath.Dir(p.home)} {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // G302: others work in it
			t.Fatal(err)
		}
	}
}

// plainEnv is the machine's without what its own clients are told: that would
// win over the person's files.
func (p *person) plainEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(strings.ToLower(v), "=")
		return strings.HasPrefix(name, "npm_config") || strings.HasPrefix(name, "pip_") || strings.HasPrefix(name, "go") ||
			strings.HasPrefix(name, "cargo") || strings.Contains(name, "proxy")
	})
	return append(env, "HOME="+p.home, "XDG_STATE_HOME="+p.state, "TERM=xterm-256color")
}
