package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/hint"
)

// dockerConfig writes docker's configuration and contexts below a home.
func dockerConfig(t *testing.T, dir, config string, contexts map[string]string) {
	t.Helper()
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if config != "" {
		write(filepath.Join(dir, "config.json"), config)
	}
	for name, meta := range contexts {
		sum := sha256.Sum256([]byte(name))
		write(filepath.Join(dir, "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json"), meta)
	}
}

func contextMeta(host string) string {
	return `{"Name":"x","Metadata":{},"Endpoints":{"docker":{"Host":"` + host + `","SkipTLSVerify":false}}}`
}

func TestFindEndpoint(t *testing.T) {
	contexts := map[string]string{"colima": contextMeta("unix:///colima.sock"), "far": contextMeta("tcp://far:2375"), "empty": "{}"}
	cases := map[string]struct {
		env    map[string]string
		config string
		want   string // host, or part of the error
		hint   string // set when an error is wanted
	}{
		"DOCKER_HOST wins":            {map[string]string{"DOCKER_HOST": "unix:///a.sock", "DOCKER_CONTEXT": "colima"}, "", "unix:///a.sock", ""},
		"DOCKER_CONTEXT":              {map[string]string{"DOCKER_CONTEXT": "colima"}, `{"currentContext":"far"}`, "unix:///colima.sock", ""},
		"current context":             {nil, `{"currentContext":"colima"}`, "unix:///colima.sock", ""},
		"context default":             {map[string]string{"DOCKER_CONTEXT": "default"}, `{"currentContext":"far"}`, "unix:///var/run/docker.sock", ""},
		"nothing said":                {nil, "", "unix:///var/run/docker.sock", ""},
		"no context in configuration": {nil, `{"auths":{}}`, "unix:///var/run/docker.sock", ""},
		"tcp":                         {map[string]string{"DOCKER_HOST": "tcp://10.0.0.1:2375"}, "", "is not local", "docker context use default"},
		"ssh":                         {map[string]string{"DOCKER_HOST": "ssh://me@far"}, "", "is not local", "unset DOCKER_HOST"},
		"remote context":              {nil, `{"currentContext":"far"}`, "is not local", "docker context use default"},
		"not a URL":                   {map[string]string{"DOCKER_HOST": "/var/run/docker.sock"}, "", "is not local", "DOCKER_HOST"},
		"unknown context":             {map[string]string{"DOCKER_CONTEXT": "lost"}, "", `docker context "lost"`, "docker context ls"},
		"context without docker":      {map[string]string{"DOCKER_CONTEXT": "empty"}, "", "names no docker host", "DOCKER_CONTEXT"},
		"broken configuration":        {nil, `{"currentContext":`, "read docker's configuration", "config.json"},
	}
	for name, c := range cases {
		for _, where := range []string{"home", "DOCKER_CONFIG"} {
			t.Run(name+"/"+where, func(t *testing.T) {
				home := t.TempDir()
				dir := filepath.Join(home, ".docker")
				env := map[string]string{}
				for key, value := range c.env {
					env[key] = value
				}
				if where == "DOCKER_CONFIG" {
					dir = t.TempDir()
					env["DOCKER_CONFIG"] = dir
				}
				dockerConfig(t, dir, c.config, contexts)
				found, err := locator{func(name string) string { return env[name] }, home}.find()
				if c.hint != "" {
					if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(hint.Of(err), c.hint) {
						t.Fatalf("found %v, error %v (hint %q), want %q (hint %q)", found, err, hint.Of(err), c.want, c.hint)
					}
					return
				}
				if err != nil || len(found) == 0 || found[0].Host != c.want {
					t.Fatalf("found %v, %v, want %s", found, err, c.want)
				}
			})
		}
	}
}

// TestErrorKeepsCredentials: a remote address may hold a password.
func TestErrorKeepsCredentials(t *testing.T) {
	_, err := local(endpoint{"tcp://user:hunter2@far:2375", "DOCKER_HOST"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

func TestFindRootlessSocket(t *testing.T) {
	dir := shortTemp(t)
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "unix", filepath.Join(dir, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	found, err := locator{func(name string) string {
		return map[string]string{"XDG_RUNTIME_DIR": dir}[name]
	}, t.TempDir()}.find()
	if err != nil {
		t.Fatal(err)
	}
	want := "unix://" + filepath.Join(dir, "docker.sock")
	if last := found[len(found)-1]; last.Host != want {
		t.Errorf("found %v, want %s among them", found, want)
	}
}

// shortTemp is a directory whose path leaves room for a socket's name.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
