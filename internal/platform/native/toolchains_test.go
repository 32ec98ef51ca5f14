//go:build linux

package native

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/platform"
)

// tools are a home with a toolchain of each kind, as their installers leave it,
// and the PATH that leads to them.
func tools(t *testing.T, home string) (path string) {
	t.Helper()
	for _, file := range []string{
		".nvm/versions/node/v22.1.0/bin/node", ".nvm/versions/node/v22.1.0/etc/npmrc", ".nvm/versions/node/v20.0.0/bin/node",
		".local/share/mise/installs/ruby/3.3/bin/ruby", ".local/share/mise/shims/ruby", ".config/mise/config.toml",
		".pyenv/shims/python", ".pyenv/libexec/pyenv", ".pyenv/versions/3.12/bin/python", ".pyenv/.git/config",
		".cargo/bin/cargo", ".cargo/credentials.toml", ".cargo/config.toml", ".rustup/toolchains/stable/bin/rustc", ".rustup/settings.toml",
		"sdk/go1.26/bin/go", "sdk/go1.26/VERSION", "sdk/go1.26/src/runtime/x.go", "go/bin/gopls", "go/pkg/mod/cache/x",
		".linuxbrew/bin/jq", ".linuxbrew/Cellar/jq/1.7/bin/jq", ".linuxbrew/etc/service.conf", ".linuxbrew/var/db/data",
		"bin/mine",
	} {
		name := filepath.Join(home, file)
		check(t, os.MkdirAll(filepath.Dir(name), 0o755))
		check(t, os.WriteFile(name, []byte("#!/bin/sh\necho "+filepath.Base(file)+"\n"), 0o755))
	}
	var dirs []string
	for _, dir := range []string{
		".nvm/versions/node/v22.1.0/bin", ".local/share/mise/shims", ".local/share/mise/installs/ruby/3.3/bin", ".pyenv/shims",
		".cargo/bin", "sdk/go1.26/bin", "go/bin", ".linuxbrew/bin", "bin",
	} {
		dirs = append(dirs, filepath.Join(home, dir))
	}
	return strings.Join(append(dirs, "relative", "/usr/bin"), ":")
}

// TestToolchains finds each by what is on the PATH, with what it needs and
// nothing else.
func TestToolchains(t *testing.T) {
	home := t.TempDir()
	path := tools(t, home)
	var got []string
	for _, tool := range toolchains(home, func(name string) string { return map[string]string{"PATH": path}[name] }) {
		for _, mount := range tool.Mounts {
			text := tool.Name + " " + strings.TrimPrefix(mount.Target, home+"/")
			for _, hidden := range mount.Hidden {
				text += " -" + strings.TrimPrefix(hidden, home+"/")
			}
			got = append(got, text)
		}
	}
	want := []string{
		"nvm .nvm/versions/node/v22.1.0 -.nvm/versions/node/v22.1.0/etc/npmrc", "mise .local/share/mise/installs/ruby/3.3",
		"pyenv .pyenv/libexec", "pyenv .pyenv/shims", "pyenv .pyenv/versions",
		"rustup .cargo/bin", "rustup .rustup/toolchains", "rustup .rustup/settings.toml",
		"go sdk/go1.26", "go go/bin", "Homebrew .linuxbrew/bin", "Homebrew .linuxbrew/Cellar",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// TestToolchainsInside runs a program of each in a bottle, and looks for what
// must not have come along.
func TestToolchainsInside(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root makes a home that is not temporary")
	}
	home, err := os.MkdirTemp("/opt", "claude-bottle-test-")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	check(t, os.Chmod(home, 0o755))
	path := tools(t, home)
	for _, file := range []string{
		".pyenv/versions/3.12/pip.conf", ".pyenv/versions/conda/.condarc", ".pyenv/versions/3.12/envs/own/pip.conf",
		".linuxbrew/Cellar/python/3.13/pip.conf",
	} {
		check(t, os.MkdirAll(filepath.Join(home, filepath.Dir(file)), 0o755))
		check(t, os.WriteFile(filepath.Join(home, file), []byte("echo token\n"), 0o644))
	}
	check(t, os.Symlink(home+"/.pyenv/versions/3.12/envs/own", home+"/.pyenv/versions/own"))
	b := launchedWith(t, func(p *Platform) {
		inner := p.config.Getenv
		p.config.Home = home
		p.config.Getenv = func(name string) string {
			if name == "PATH" {
				return path
			}
			return inner(name)
		}
	}, func(spec *bottle.Spec) { spec.Toolchains = true })
	out := sh(t, b, "for tool in node ruby python cargo go gopls jq mine; do $tool 2>/dev/null || echo no $tool; done; echo $RUSTUP_HOME $PYENV_ROOT")
	if want := "node\nruby\npython\ncargo\ngo\ngopls\njq\nno mine\n" + home + "/.rustup " + home + "/.pyenv\n"; out != want {
		t.Errorf("inside: %q, want %q", out, want)
	}
	out = sh(t, b, "cd "+home+"; cat .nvm/versions/node/v22.1.0/etc/npmrc .cargo/credentials.toml .cargo/config.toml .config/mise/config.toml"+
		" .pyenv/versions/3.12/pip.conf .pyenv/versions/conda/.condarc .pyenv/versions/own/pip.conf .linuxbrew/Cellar/python/3.13/pip.conf"+
		" .linuxbrew/etc/service.conf bin/mine .nvm/versions/node/v20.0.0/bin/node 2>/dev/null; touch go/bin/x 2>&1")
	if !strings.Contains(out, "cannot touch") || strings.Contains(out, "echo") {
		t.Errorf("came along: %q", out)
	}
}

// TestToolchainsThatAreLeft are where nothing of is seen inside, and said.
func TestToolchainsThatAreLeft(t *testing.T) {
	home := t.TempDir()
	tool := toolchain{Name: "rustup", Dir: home + "/.ssh/bin", Mounts: mounted("rustup", "/etc")}
	kept, left := withoutForbidden(t.Context(), []toolchain{tool}, platform.NewVetting(home, ""), os.Getuid(), os.Getgid())
	if len(kept) != 0 || len(left) != 1 || !strings.Contains(left[0], "not taken along: /etc: ") {
		t.Errorf("kept %v, left %q", kept, left)
	}
}

// TestToolchainWithASocket is not taken along: read-only keeps nobody from
// speaking to who listens there.
func TestToolchainWithASocket(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root makes a directory that is not temporary")
	}
	dir, err := os.MkdirTemp("/opt", "claude-bottle-test-")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, "s"))
	check(t, err)
	defer listener.Close()
	tool := toolchain{Name: "pyenv", Dir: dir, Mounts: []bottle.HostMount{{Source: dir, Target: dir}}}
	vet := platform.NewVetting("/nowhere", "")
	kept, left := withoutForbidden(t.Context(), []toolchain{tool}, vet, 0, 0)
	if len(kept) != 0 || len(left) != 1 || !strings.Contains(left[0], "is a socket") {
		t.Errorf("kept %v, left %q", kept, left)
	}
}
