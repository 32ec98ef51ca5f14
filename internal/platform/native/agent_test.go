//go:build linux

package native

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
	"claude-bottle/test/engine"
)

// agentSpec is Claude Code's, of a person who has it nowhere.
func agentSpec() bottle.Spec {
	uid, gid := bottle.Person(os.Getuid(), os.Getgid(), os.LookupEnv)
	return bottle.Spec{
		Slug: "test", Harness: "claude", Argv: []string{"claude"}, Home: bottle.DefaultHome, Workspace: bottle.Workspace, UID: uid, GID: gid,
	}
}

// TestAgentFromItsRegistry is a plan that says what will be installed, before
// anything is, and one that finds it; and what is refused where neither can be.
func TestAgentFromItsRegistry(t *testing.T) {
	engine.Long(t)
	needBubblewrap(t)
	store, err := runs.Open(filepath.Join(reachableDir(t), "state"))
	check(t, err)
	bin := t.TempDir()
	check(t, os.Symlink(lookPath(bubblewrap, searchPath), filepath.Join(bin, bubblewrap)))
	env := map[string]string{"PATH": bin}
	p := newPlatform(t, store, func(name string) (string, bool) { value, ok := env[name]; return value, ok })
	if _, err := p.Prepare(t.Context(), agentSpec()); err == nil || !strings.Contains(hint.Of(err), "install npm") {
		t.Errorf("without npm: %v", err)
	}
	check(t, os.WriteFile(filepath.Join(bin, "npm"), []byte("#!/bin/sh\nexit 7\n"), 0o755))
	plan, err := p.Prepare(t.Context(), agentSpec())
	check(t, err)
	if plan.Native.Install == nil || plan.Native.Install.Package != harness.ClaudePackage("").Spec() || plan.Native.Harness != "" {
		t.Fatalf("the plan: %+v", plan.Native)
	}
	var out strings.Builder
	check(t, plan.Print(&out))
	if !strings.Contains(out.String(), "install        : "+plan.Native.Install.Package+" with npm, once, into "+plan.Native.Install.Dir) {
		t.Errorf("the plan says:\n%s", out.String())
	}
	if _, err := os.Stat(filepath.Join(store.Root(), "agents")); err == nil {
		t.Error("the plan alone made something")
	}
	// npm fails: there is no run, and nothing to undo.
	if _, err := p.Launch(t.Context(), plan, environ.Secrets{}); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("launch: %v", err)
	}
	if infos, err := store.List(); err != nil || len(infos) != 0 {
		t.Errorf("runs: %v, %v", infos, err)
	}
}

// TestInstalledAgentIsInside has an agent that an earlier launch installed.
func TestInstalledAgentIsInside(t *testing.T) {
	needBubblewrap(t)
	bin := t.TempDir()
	check(t, os.Symlink(lookPath(bubblewrap, searchPath), filepath.Join(bin, bubblewrap)))
	b := launchedWith(t, func(p *Platform) {
		npm := filepath.Join(bin, "npm")
		check(t, os.WriteFile(npm, []byte(`#!/bin/sh
			while [ "$1" != --prefix ]; do shift; done
			dir=$2/node_modules/@anthropic-ai/claude-code-linux-x64
			mkdir -p "$dir" && printf '#!/bin/sh\necho the agent: $0\n' >"$dir/claude" && chmod 700 "$dir/claude"
			echo '{}' >"$dir/package.json"
		`), 0o755))
		inner := p.config.Getenv
		p.config.Environ = []string{"PATH=" + searchPath}
		p.config.Getenv = func(name string) string {
			if name == "PATH" {
				return bin
			}
			return inner(name)
		}
	}, func(spec *bottle.Spec) { spec.Harness, spec.Argv = "claude", []string{"claude"} })
	out := sh(t, b, "claude; touch $(readlink -f $(command -v claude)) 2>&1; ls /.claude-bottle/harness/*")
	if !strings.HasPrefix(out, "the agent: ") || !strings.Contains(out, "cannot touch") {
		t.Errorf("inside: %s", out)
	}
}

// TestAgentReplacedAfterThePlan is a program, or its package, that is another's
// under the same name once the plan was shown.
func TestAgentReplacedAfterThePlan(t *testing.T) {
	needBubblewrap(t)
	for what, replaced := range map[string]string{"nothing": "", "the program": "claude", "the package": "."} {
		t.Run(what, func(t *testing.T) {
			dir := reachableDir(t)
			install := func(dir string) {
				check(t, os.MkdirAll(dir, 0o755))
				check(t, os.WriteFile(filepath.Join(dir, "package.json"), []byte("{}"), 0o644))
				check(t, os.WriteFile(filepath.Join(dir, "claude"), []byte("#!/bin/sh\n"), 0o755))
			}
			own, other := filepath.Join(dir, "own"), filepath.Join(dir, "other")
			install(own)
			install(other)
			store, err := runs.Open(filepath.Join(dir, "state"))
			check(t, err)
			p := newPlatform(t, store, func(name string) (string, bool) { return own + ":" + searchPath, name == "PATH" })
			plan, err := p.Prepare(t.Context(), agentSpec())
			check(t, err)
			if replaced != "" {
				at := filepath.Join(own, replaced)
				check(t, os.Rename(at, filepath.Join(dir, "was")))
				check(t, os.Rename(filepath.Join(other, replaced), at))
			}
			b, err := p.Launch(t.Context(), plan, environ.Secrets{})
			if err == nil {
				check(t, b.Close())
			}
			if (err == nil) != (replaced == "") || err != nil && !strings.Contains(err.Error(), "elsewhere") {
				t.Errorf("%v", err)
			}
		})
	}
}
