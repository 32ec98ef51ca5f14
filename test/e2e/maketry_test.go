package e2e_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"claude-bottle/test/engine"
	"claude-bottle/test/faultproxy"
)

// ordinary is a user who may use the engine and nothing else.
const ordinary = 1000

// TestMakeTry runs what `make try` runs, without a terminal and without a
// token: a bottle attacks itself, then a real Claude Code writes a file. It
// works for an ordinary user, who has no port 443 to serve a stand-in at, as
// well as for root.
func TestMakeTry(t *testing.T) {
	for name, uid := range map[string]uint32{"root": 0, "ordinary user": ordinary} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t, "runc", "", shell)
			try := filepath.Join(p.home, "try")
			build := exec.CommandContext(t.Context(), "go", "build", "-o", try, "claude-bottle/examples/try")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			p.become(uid)
			cmd := p.command()
			cmd.Path, cmd.Args = try, []string{try, "--binary", p.binary, "--examples", filepath.Join(p.home, "examples")}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{"none got out", "isolation:", "all closed", "hello.txt", "ended (0); work: 1 added"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q is not in what it prints:\n%s", want, out)
				}
			}
			p.ownsAll()
		})
	}
}

// become gives what the person has to a user, who reaches the engine by a
// socket that everybody may use.
func (p *person) become(uid uint32) {
	p.t.Helper()
	host, err := engine.Find(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	dir, err := os.MkdirTemp(shared.dir, "s")
	if err != nil {
		p.t.Fatal(err)
	}
	proxy, err := faultproxy.Start(p.t.Context(), host, dir)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(proxy.Close)
	cache, err := engine.Cache()
	if err != nil {
		p.t.Fatal(err)
	}
	own := filepath.Join(p.home, "cache", "claude-bottle-test")
	authority, err := os.ReadFile(filepath.Join(cache, "authority.pem")) // what the image trusts
	err = errors.Join(err,
		os.Chmod(shared.dir, 0o711), os.Chmod(dir, 0o711), os.Chmod(filepath.Join(dir, "engine.sock"), 0o666), //nolint:gosec // a test's socket
		os.CopyFS(filepath.Join(p.home, "examples"), os.DirFS("../../examples")),
		os.MkdirAll(own, 0o755), os.WriteFile(filepath.Join(own, "authority.pem"), authority, 0o600),
		filepath.WalkDir(filepath.Dir(p.home), func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, int(uid), int(uid)))
		}))
	if err != nil {
		p.t.Fatal(err)
	}
	for i, entry := range p.env {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "DOCKER_HOST":
			p.env[i] = "DOCKER_HOST=" + proxy.Host()
		case "CLAUDE_BOTTLE_OAUTH_TOKEN":
			p.env[i] = "XDG_CACHE_HOME=" + filepath.Dir(own)
		}
	}
	p.uid = uid
	p.owner = p.readOwner()
}

// ownsAll wants all that the runs left to be the user's.
func (p *person) ownsAll() {
	p.t.Helper()
	if p.uid == 0 {
		return // root's runs have a uid of their own
	}
	err := filepath.WalkDir(p.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != p.uid {
			p.t.Errorf("%s belongs to %d", path, owner)
		}
		return nil
	})
	if err != nil {
		p.t.Error(err)
	}
}
