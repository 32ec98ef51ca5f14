//go:build linux

package native

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
)

// toolchain is what makes programs of one directory of the PATH work inside.
type toolchain struct {
	Name   string
	Dir    string             // of the PATH
	Mounts []bottle.HostMount // with Dir in one of them
	Env    []string           // NAME=value
}

// toolchains are those that the person's PATH leads to, in its order. Of each
// only what its programs are made of is taken: what holds settings, tokens or
// caches stays outside (TestToolchains).
func toolchains(home string, getenv func(string) string) []toolchain {
	finder := toolFinder{home, getenv}
	var found []toolchain
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		dir = filepath.Clean(dir)
		known := func(t toolchain) bool { return t.Dir == dir }
		if slices.ContainsFunc(found, known) {
			continue
		}
		if t, ok := finder.find(dir); ok {
			t.Dir = dir
			found = append(found, t)
		}
	}
	return found
}

// withoutForbidden drops toolchains that the agent's user cannot reach, that
// lie where nothing is seen inside, or that hold what a mount may not, such as a
// socket, and says so.
func withoutForbidden(ctx context.Context, all []toolchain, vet *platform.Vetting, uid, gid int) (kept []toolchain, left []string) {
	for _, t := range all {
		why := ""
		for i, mount := range t.Mounts {
			var err error
			if t.Mounts[i].File, err = platform.FileOf(mount.Source); err != nil {
				why = err.Error()
			}
			if dir := closedTo(mount.Source, uid, gid); dir != "" {
				why = "the bottle's user may not pass " + dir
			}
			if refused := cmp.Or(vet.Refuses(mount.Target), vet.Refuses(mount.Source)); refused != "" {
				why = mount.Target + ": " + refused
			}
			if why == "" {
				why = vet.RefusesTree(ctx, mount.Source)
			}
		}
		if why != "" {
			left = append(left, "toolchains: "+t.Name+" in "+t.Dir+" is not taken along: "+why)
			continue
		}
		kept = append(kept, t)
	}
	return kept, left
}

// checkToolchains says whether those of a plan are still what a person saw: their
// directories, and what of them is hidden.
func (p *Platform) checkToolchains(plan bottle.Plan) error {
	if !plan.Spec.Toolchains {
		return nil
	}
	var now []bottle.HostMount
	for _, t := range toolchains(p.config.Home, p.config.Getenv) {
		now = append(now, t.Mounts...)
	}
	for _, m := range plan.Mounts {
		same := func(other bottle.HostMount) bool {
			return m.For == other.For && m.Source == other.Source && m.Target == other.Target && slices.Equal(m.Hidden, other.Hidden)
		}
		if strings.HasPrefix(m.For, forToolchains) && !slices.ContainsFunc(now, same) {
			return hint.With(fmt.Errorf("%s: what is in %s is not what the plan says", m.For, m.Target), "start again, and look at the plan")
		}
	}
	return nil
}

// forToolchains begins what HostMount.For says of theirs.
const forToolchains = "toolchains: "

// addToolchains makes them seen inside, where they are not already.
func addToolchains(plan *bottle.Plan, tools []toolchain) {
	part := plan.Native
	var dirs []string
	for _, t := range tools {
		dirs = append(dirs, t.Dir)
		for _, name := range t.Env {
			if !slices.Contains(part.Env, name) {
				part.Env = append(slices.Clip(part.Env), name)
			}
		}
		for _, mount := range t.Mounts {
			there := slices.ContainsFunc(part.Mounts, func(m bottle.NativeMount) bool { return within(mount.Target, m.Target) }) ||
				slices.ContainsFunc(plan.Mounts, func(m bottle.HostMount) bool { return within(mount.Target, m.Target) })
			if !there {
				plan.Mounts = append(slices.Clip(plan.Mounts), mount)
			}
		}
	}
	if len(dirs) > 0 {
		part.Path = strings.Join(dirs, ":") + ":" + part.Path
	}
}

type toolFinder struct {
	home   string
	getenv func(string) string
}

// root is where a toolchain is: its variable, else a place below home.
func (f toolFinder) root(variable, below string) string {
	if dir := f.getenv(variable); filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	return filepath.Join(f.home, below)
}

func (f toolFinder) find(dir string) (toolchain, bool) {
	for _, try := range []func(string) (toolchain, bool){f.nvm, f.mise, f.pyenv, f.cargo, f.golang, f.homebrew} {
		if t, ok := try(dir); ok {
			return t, true
		}
	}
	return toolchain{}, false
}

// mounted are the directories that exist, under their own names.
func mounted(name string, dirs ...string) []bottle.HostMount {
	var mounts []bottle.HostMount
	for _, dir := range dirs {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			continue
		}
		mounts = append(mounts, bottle.HostMount{Source: real, Target: dir, For: forToolchains + name})
	}
	return mounts
}

// managerSettings are files of a version of Python or Node.js, of conda's too, in
// which its package manager keeps settings, a registry's token among them.
var managerSettings = []string{"pip.conf", ".condarc", "condarc", "etc/npmrc", "lib/node_modules/npm/npmrc"}

// hide covers settings of the versions that a pattern names. They are covered
// where they really are in a mount: links lead there, or to what is not seen.
func hide(mounts []bottle.HostMount, versions string) []bottle.HostMount {
	for _, name := range managerSettings {
		found, _ := filepath.Glob(filepath.Join(versions, name)) // a pattern of ours is none that is bad
		for _, file := range found {
			real, err := filepath.EvalSymlinks(file)
			if err != nil {
				continue
			}
			for i := range mounts {
				below, ok := strings.CutPrefix(real, mounts[i].Source+"/")
				if hidden := filepath.Join(mounts[i].Target, below); ok && !slices.Contains(mounts[i].Hidden, hidden) {
					mounts[i].Hidden = append(mounts[i].Hidden, hidden)
				}
			}
		}
	}
	return mounts
}

// nvm has a directory for each version of Node.js; npm's settings in it may
// hold a token of a registry.
func (f toolFinder) nvm(dir string) (toolchain, bool) {
	versions := filepath.Join(f.root("NVM_DIR", ".nvm"), "versions")
	if !within(dir, versions) || filepath.Base(dir) != "bin" {
		return toolchain{}, false
	}
	version := filepath.Dir(dir)
	mounts := hide(mounted("nvm", version), version)
	return toolchain{Name: "nvm", Mounts: mounts}, len(mounts) > 0
}

// mise puts each tool's own directory on the PATH once it is activated. Its
// shims ask its settings, which may hold secrets: they are not taken.
func (f toolFinder) mise(dir string) (toolchain, bool) {
	installs := filepath.Join(f.root("MISE_DATA_DIR", ".local/share/mise"), "installs")
	below, ok := strings.CutPrefix(dir, installs+"/")
	parts := strings.Split(below, "/")
	if !ok || len(parts) < 2 {
		return toolchain{}, false
	}
	version := filepath.Join(installs, parts[0], parts[1])
	mounts := hide(mounted("mise", version), version)
	return toolchain{Name: "mise", Mounts: mounts}, len(mounts) > 0
}

// pyenv's shims call it by its place, and it finds the versions below.
func (f toolFinder) pyenv(dir string) (toolchain, bool) {
	root := f.root("PYENV_ROOT", ".pyenv")
	if dir != filepath.Join(root, "shims") && dir != filepath.Join(root, "bin") && !within(dir, filepath.Join(root, "versions")) {
		return toolchain{}, false
	}
	mounts := mounted("pyenv", filepath.Join(root, "bin"), filepath.Join(root, "libexec"), filepath.Join(root, "shims"),
		filepath.Join(root, "versions"), filepath.Join(root, "version"), filepath.Join(root, "pyenv.d"))
	mounts = hide(mounts, filepath.Join(root, "versions/*"))
	return toolchain{Name: "pyenv", Mounts: mounts, Env: []string{"PYENV_ROOT=" + root}}, len(mounts) > 0
}

// cargo's directory of programs, without its settings and its token; rustup's
// proxies are among them and need its toolchains. What cargo fetches goes below
// the bottle's own home.
func (f toolFinder) cargo(dir string) (toolchain, bool) {
	bin := filepath.Join(f.root("CARGO_HOME", ".cargo"), "bin")
	if dir != bin {
		return toolchain{}, false
	}
	rustup := f.root("RUSTUP_HOME", ".rustup")
	mounts := mounted("rustup", bin, filepath.Join(rustup, "toolchains"), filepath.Join(rustup, "settings.toml"))
	return toolchain{Name: "rustup", Mounts: mounts, Env: []string{"RUSTUP_HOME=" + rustup}}, len(mounts) > 0
}

// golang is Go's own tree, and the directory where `go install` puts programs.
func (f toolFinder) golang(dir string) (toolchain, bool) {
	if dir == filepath.Join(f.root("GOPATH", "go"), "bin") || dir == filepath.Clean(f.getenv("GOBIN")) {
		return toolchain{Name: "go", Mounts: mounted("go", dir)}, true
	}
	program, err := filepath.EvalSymlinks(filepath.Join(dir, "go"))
	if err != nil || filepath.Base(dir) != "bin" {
		return toolchain{}, false
	}
	root := filepath.Dir(dir)
	if program != filepath.Join(root, "bin/go") || len(existing([]string{filepath.Join(root, "VERSION"), filepath.Join(root, "src/runtime")})) < 2 {
		return toolchain{}, false
	}
	return toolchain{Name: "go", Mounts: mounted("go", root)}, true
}

// homebrew's programs, without its etc and var, where services keep settings,
// data and sockets.
func (f toolFinder) homebrew(dir string) (toolchain, bool) {
	for _, prefix := range []string{f.getenv("HOMEBREW_PREFIX"), "/home/linuxbrew/.linuxbrew", filepath.Join(f.home, ".linuxbrew")} {
		if !filepath.IsAbs(prefix) || dir != filepath.Join(prefix, "bin") && dir != filepath.Join(prefix, "sbin") {
			continue
		}
		if len(existing([]string{filepath.Join(prefix, "Cellar")})) == 0 {
			continue
		}
		var dirs []string
		for _, name := range []string{"bin", "sbin", "Cellar", "opt", "lib", "libexec", "include", "share"} {
			dirs = append(dirs, filepath.Join(prefix, name))
		}
		mounts := hide(mounted("Homebrew", dirs...), prefix)
		for _, versions := range []string{"Cellar/*/*", "Cellar/*/*/libexec"} {
			mounts = hide(mounts, filepath.Join(prefix, versions))
		}
		return toolchain{Name: "Homebrew", Mounts: mounts}, true
	}
	return toolchain{}, false
}
