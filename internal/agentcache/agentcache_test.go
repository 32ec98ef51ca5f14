package agentcache

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"claude-bottle/internal/harness"
	"claude-bottle/internal/hint"
	"claude-bottle/test/engine"
)

// registry is a real npm client's registry on this machine, with one package
// whose script would leave a mark, and counts who fetched it.
type registry struct {
	*httptest.Server
	fetched atomic.Int64
	broken  atomic.Bool
	mark    string
}

const packageName = "@example/agent"

func newRegistry(t *testing.T) *registry {
	t.Helper()
	engine.Tool(t, "npm")
	r := &registry{mark: filepath.Join(t.TempDir(), "mark")}
	archive := r.pack(t)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, ".tgz") {
			r.fetched.Add(1)
			if r.broken.Load() {
				_, _ = w.Write(archive[:len(archive)/2])
				return
			}
			_, _ = w.Write(archive)
			return
		}
		fmt.Fprintf(w, `{"name":%q,"dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":%q,"version":"1.0.0",
			"hasInstallScript":true,"scripts":{"postinstall":"touch %s"},"dist":{"tarball":"%s/agent.tgz"}}}}`,
			packageName, packageName, r.mark, "http://"+req.Host)
	}))
	t.Cleanup(r.Close)
	return r
}

// pack has npm make the archive.
func (r *registry) pack(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"package.json": `{"name":"` + packageName + `","version":"1.0.0","scripts":{"postinstall":"touch ` + r.mark + `"}}`,
		"agent":        "#!/bin/sh\necho agent\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "tar", "czf", "-", "--transform", "s,^,package/,", "package.json", "agent")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (r *registry) cache(t *testing.T) Cache {
	t.Helper()
	home := t.TempDir()
	return Cache{
		Dir: filepath.Join(t.TempDir(), "agents"), Getenv: os.Getenv,
		Environ: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + home, "NPM_CONFIG_REGISTRY=" + r.URL, "NPM_CONFIG_CACHE=" + filepath.Join(home, "cache"),
			"npm_package_json=/somebody/elses/package.json", "npm_config_prefix=/somebody/elses",
		},
	}
}

func agent() harness.Package {
	return harness.Package{Command: "agent", Name: packageName, Version: "1.0.0", Program: "node_modules/@example/*/agent"}
}

// TestInstall installs once, finds it again, and runs none of the package's
// scripts.
func TestInstall(t *testing.T) {
	r := newRegistry(t)
	c := r.cache(t)
	if path := c.Find(agent()); path != "" {
		t.Fatalf("found %s before", path)
	}
	path, err := c.Install(t.Context(), agent(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), path).Output(); err != nil || string(out) != "agent\n" {
		t.Errorf("%s printed %q, %v", path, out, err)
	}
	if again := c.Find(agent()); again != path {
		t.Errorf("found %q, want %q", again, path)
	}
	if again, err := c.Install(t.Context(), agent(), io.Discard); again != path || err != nil || r.fetched.Load() != 1 {
		t.Errorf("again: %q, %v, fetched %d times", again, err, r.fetched.Load())
	}
	if _, err := os.Stat(r.mark); err == nil {
		t.Error("the package's script ran")
	}
	onlyInstalled(t, c)
}

// onlyInstalled looks for what an install left beside the version, and for what
// others could not read or could change.
func onlyInstalled(t *testing.T, c Cache) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(c.Dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "1.0.0" && entry.Name() != ".lock" {
			t.Errorf("left: %s", entry.Name())
		}
	}
	err = filepath.WalkDir(c.Place(agent()), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if mode := info.Mode().Perm(); err == nil && info.Mode().Type() != fs.ModeSymlink && (mode&0o444 != 0o444 || mode&0o022 != 0) {
			t.Errorf("%s has mode %v", path, mode)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestInstallAtOnce lets several launches find nothing at a time.
func TestInstallAtOnce(t *testing.T) {
	r := newRegistry(t)
	c := r.cache(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := c.Install(t.Context(), agent(), io.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.fetched.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	onlyInstalled(t, c)
}

// TestBrokenInstallIsMadeAgain breaks what was installed in each way that a
// crash or a full disk does.
func TestBrokenInstallIsMadeAgain(t *testing.T) {
	engine.Long(t)
	r := newRegistry(t)
	c := r.cache(t)
	path, err := c.Install(t.Context(), agent(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]func(){
		"no note":        func() { must(os.Remove(filepath.Join(c.Place(agent()), noteName))) },
		"half a note":    func() { must(os.WriteFile(filepath.Join(c.Place(agent()), noteName), []byte(`{"prog`), 0o600)) },
		"half a program": func() { must(os.Truncate(path, 3)) },
		"no program":     func() { must(os.Remove(path)) },
		"no mode":        func() { must(os.Chmod(path, 0o600)) },
		"a link":         func() { must(os.Remove(path)); must(os.Symlink("/bin/true", path)) },
		"an empty place": func() { must(os.RemoveAll(c.Place(agent()))); must(os.Mkdir(c.Place(agent()), 0o755)) },
		"a killed draft": func() {
			must(os.RemoveAll(c.Place(agent())))
			must(os.MkdirAll(filepath.Join(c.Dir, "agent", draftPrefix+"1/x"), 0o755))
		},
		"a note that lies": func() {
			must(os.WriteFile(filepath.Join(c.Place(agent()), noteName), []byte(`{"program":"../../../../bin/sh","size":1}`), 0o600))
		},
	} {
		damage()
		if found := c.Find(agent()); found != "" {
			t.Errorf("%s: found %s", name, found)
		}
		if _, err := c.Install(t.Context(), agent(), io.Discard); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		onlyInstalled(t, c)
	}
}

// TestInstallFails leaves nothing, says what npm said, and the next one works.
func TestInstallFails(t *testing.T) {
	r := newRegistry(t)
	c := r.cache(t)
	r.broken.Store(true)
	if path, err := c.Install(t.Context(), agent(), io.Discard); err == nil || !strings.Contains(err.Error(), "npm: ") || hint.Of(err) == "" {
		t.Errorf("half an archive: %q, %v", path, err)
	}
	r.broken.Store(false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Install(ctx, agent(), io.Discard); err == nil {
		t.Error("it installed when it was cancelled")
	}
	other := agent()
	other.Program = "node_modules/nothing"
	if _, err := c.Install(t.Context(), other, io.Discard); err == nil || !strings.Contains(err.Error(), "0 programs") {
		t.Errorf("no program in it: %v", err)
	}
	if _, err := c.Install(t.Context(), agent(), io.Discard); err != nil {
		t.Error(err)
	}
	onlyInstalled(t, c)
	c.Getenv = func(string) string { return "relative:/nowhere" }
	if err := c.Check(agent()); err == nil || !strings.Contains(hint.Of(err), "apt-get install npm") {
		t.Errorf("without npm: %v", err)
	}
	latest := agent()
	latest.Version = "latest"
	if err := r.cache(t).Check(latest); err == nil {
		t.Error("a tag is taken for a version")
	}
}
