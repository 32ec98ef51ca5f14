package preset

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/hint"
	"claude-bottle/test/engine"
)

func TestNobodyIsAskedWithoutAPreset(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "asked")
	c := person(t, "PATH", program(t, "npm", "touch "+marker))
	table, err := c.Find(t.Context(), nil)
	if err != nil || len(table) != 0 {
		t.Errorf("%v, %v", table, err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("npm was asked")
	}
}

func TestClientWithoutAnAnswer(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"fails":       {"echo '{}'; exit 3", "exit status 3"},
		"no JSON":     {"echo hello", "not JSON"},
		"no registry": {`echo '{"@a:registry": "https://a.mirror.example"}'`, "names no registry"},
		"other type":  {`echo '{"registry": 1}'`, "names no registry"},
		"no URL":      {`echo '{"registry": "mirror.example"}'`, "http://"},
		"other way":   {`echo '{"registry": "ftp://mirror.example"}'`, "http://"},
		"too much":    {"head -c 1100000 /dev/zero", "more than 1024 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			c := person(t, "PATH", program(t, "npm", "PATH=/usr/bin:/bin\n"+test.script))
			_, err := c.Find(t.Context(), []string{"npm"})
			if err == nil || !strings.Contains(err.Error(), "preset npm: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if hint.Of(err) == "" {
				t.Error("no hint")
			}
		})
	}
}

func TestClientThatHangs(t *testing.T) {
	c := person(t, "PATH", program(t, "npm", "PATH=/usr/bin:/bin\nexec sleep 600"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Find(ctx, []string{"npm"}); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("error %v", err)
	}
}

// TestMissingClient: what only a client knows is refused without it.
func TestMissingClient(t *testing.T) {
	for _, name := range []string{"npm", "go", "debian"} {
		_, err := person(t, "PATH", t.TempDir()).Find(t.Context(), []string{name})
		if err == nil || !strings.Contains(err.Error(), "preset "+name+": no ") || !strings.Contains(hint.Of(err), "egress.rules") {
			t.Errorf("%s: error %v, hint %q", name, err, hint.Of(err))
		}
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := person(t).Find(t.Context(), []string{"npm", "go", "nmp"})
	for _, want := range []string{"preset npm", "preset go", `no preset "nmp"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestRelativePathIsNotSearched: it would find what a project brings.
func TestRelativePathIsNotSearched(t *testing.T) {
	t.Chdir(program(t, "npm", `echo '{"registry": "https://evil.example"}'`))
	for _, path := range []string{".", "", ":."} {
		finds(t, person(t, "PATH", path), "npm", "no npm on this machine")
	}
}

// TestCleanEnvironment: a client gets its own variables and no secret.
func TestCleanEnvironment(t *testing.T) {
	out := filepath.Join(t.TempDir(), "env")
	dir := program(t, "go", "/usr/bin/env > "+out+"; pwd >> "+out+"; echo https://go.mirror.example; echo off")
	c := person(t, "PATH", dir, "GOPROXY", "p", "SECRET_TOKEN", "s3cret", "GOFLAGS", "-mod=mod", "NODE_OPTIONS", "--require=x")
	finds(t, c, "go", "", "go.mirror.example:443 open")
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text := "\n" + string(data)
	for _, line := range []string{"HOME=" + c.Home, "PATH=" + dir, "GOPROXY=p", "GOTOOLCHAIN=local", "/"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no %q in %s", line, text)
		}
	}
	for _, word := range []string{"SECRET_TOKEN", "NODE_OPTIONS", "-mod"} {
		if strings.Contains(text, word) {
			t.Errorf("%s is handed on", word)
		}
	}
}

// TestProjectChoosesNoRegistry asks the real clients from a project that names
// registries of its own.
func TestProjectChoosesNoRegistry(t *testing.T) {
	project := t.TempDir()
	write(t, filepath.Join(project, ".npmrc"), "registry=https://evil.example/\n@acme:registry=https://evil.example/\n")
	write(t, filepath.Join(project, "package.json"), "{}")
	write(t, filepath.Join(project, "go.env"), "GOPROXY=https://evil.example\n")
	write(t, filepath.Join(project, "go.mod"), "module evil.example/x\n\ngo 1.21\n\ntoolchain go1.999.0\n")
	write(t, filepath.Join(project, ".cargo/config.toml"), "[registries.evil]\nindex = \"sparse+https://evil.example/\"\n")
	write(t, filepath.Join(project, "pip.conf"), "[global]\nindex-url = https://evil.example/\n")
	t.Chdir(project)
	c := person(t, "PATH", os.Getenv("PATH"), "GOPROXY", "https://go.mirror.example",
		"npm_lifecycle_event", "start", "npm_config_registry", "https://evil.example/",
		"VIRTUAL_ENV", project, "PWD", project, "INIT_CWD", project)
	write(t, filepath.Join(c.Home, ".npmrc"), "registry=https://npm.mirror.example/\n")
	for client, name := range map[string]string{"npm": "npm", "go": "go", "": "crates", "-": "pypi"} {
		t.Run(name, func(t *testing.T) {
			if len(client) > 1 {
				engine.Tool(t, client)
			}
			table, err := c.Find(t.Context(), []string{name})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(shown(table[name]), " "); strings.Contains(got, "evil") || len(client) > 1 && !strings.Contains(got, ".mirror.example:443") {
				t.Errorf("hosts %s", got)
			}
		})
	}
}

// TestNpm asks the real npm about a person's own configuration.
func TestNpm(t *testing.T) {
	engine.Tool(t, "npm")
	c := person(t, "PATH", os.Getenv("PATH"))
	write(t, filepath.Join(c.Home, ".npmrc"), "registry=https://npm.mirror.example/npm/\n"+
		"@acme:registry=http://scoped.mirror.example:4873/\n//npm.mirror.example/npm/:_authToken=s3cret\n")
	finds(t, c, "npm", "", "npm.mirror.example:443 open", "scoped.mirror.example:4873 open")

	c = person(t, "PATH", os.Getenv("PATH"), "npm_config_registry", "https://variable.mirror.example/")
	finds(t, c, "npm", "", "variable.mirror.example:443 open")
}

// TestGo asks the real go.
func TestGo(t *testing.T) {
	engine.Tool(t, "go")
	for name, test := range map[string]struct {
		proxy, database, failure string
		want                     []string
	}{
		"several":       {"https://a.mirror.example,http://b.mirror.example:8081/go|direct", "off", "", []string{"a.mirror.example:443 open", "b.mirror.example:8081 open"}},
		"database":      {"https://a.mirror.example", "sum.mirror.example", "", []string{"a.mirror.example:443 open", "sum.mirror.example:443 open"}},
		"database key":  {"https://a.mirror.example", "sum.mirror.example+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", "", []string{"a.mirror.example:443 open", "sum.mirror.example:443 open"}},
		"database URL":  {"https://a.mirror.example", "sum.mirror.example https://a.mirror.example/sumdb", "", []string{"a.mirror.example:443 open"}},
		"no proxy":      {"direct", "off", "names no proxy", nil},
		"off":           {"off", "sum.mirror.example", "names no proxy", nil},
		"not a URL":     {"a.mirror.example", "off", "http://", nil},
		"local as well": {"file:///srv/go,https://a.mirror.example", "off", "", []string{"a.mirror.example:443 open"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := person(t, "PATH", os.Getenv("PATH"), "GOPROXY", test.proxy, "GOSUMDB", test.database)
			finds(t, c, "go", test.failure, test.want...)
		})
	}
}

// TestClientsOfThisMachine compares what is found here with what the clients
// say by other words.
func TestClientsOfThisMachine(t *testing.T) {
	c := Clients{Home: os.Getenv("HOME"), Lookup: os.LookupEnv}
	for name, words := range map[string][]string{
		"npm":    {"npm", "config", "get", "registry"},
		"go":     {"go", "env", "GOPROXY"},
		"debian": {"apt-get", "indextargets", "--format", "$(SITE)"},
	} {
		t.Run(name, func(t *testing.T) {
			engine.Tool(t, words[0])
			table, err := c.Find(t.Context(), []string{name})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
			cmd.Dir = "/"
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			said := 0
			for _, url := range strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' || r == ',' || r == '|' }) {
				want, err := hostOf(url)
				if err != nil {
					continue
				}
				said++
				found := false
				for _, host := range table[name] {
					found = found || host.Host == want.Host && host.Port == want.Port
				}
				if !found {
					t.Error("a host that the client uses is not found")
				}
			}
			if said == 0 && !strings.Contains(string(out), "mirror+") { // a list of mirrors is no URL
				t.Error("the client says no host")
			}
		})
	}
}
