//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/supervise"
)

// Prepare looks at the machine and creates nothing.
func (p *Platform) Prepare(ctx context.Context, spec bottle.Spec) (bottle.Plan, error) {
	if err := ctx.Err(); err != nil {
		return bottle.Plan{}, err
	}
	seen := observed{
		UID: p.config.UID, Pinned: p.config.Getenv("CLAUDE_BOTTLE_CONTAINER"), Names: map[string]bool{},
		Bubblewrap: lookPath(bubblewrap, p.config.Getenv("PATH")), Namespaces: p.namespacesAllowed(),
		Env: p.environment(), Landlock: supervise.HasLandlock(),
	}
	seen.System = system()
	seen.Masked = existing(showing)
	if spec.Harness != "command" && len(spec.Argv) > 0 {
		if err := p.observeAgent(spec, &seen); err != nil {
			return bottle.Plan{}, err
		}
	}
	var err error
	if seen.Added, err = platform.HostMounts(ctx, spec, p.config.Home, p.config.Store.Root()); err != nil {
		return bottle.Plan{}, err
	}
	for _, mount := range seen.Added {
		if dir := closedTo(mount.Source, spec.UID, spec.GID); dir != "" {
			return bottle.Plan{}, hint.With(fmt.Errorf("mounts %s: the bottle's user, %d, may not pass %s", mount.Target, spec.UID, dir),
				"open that directory to it (chmod o+x), or name another")
		}
	}
	if spec.Toolchains {
		vet := platform.NewVetting(p.config.Home, p.config.Store.Root())
		seen.Tools, seen.Left = withoutForbidden(ctx, toolchains(p.config.Home, p.config.Getenv), vet, spec.UID, spec.GID)
	}
	if limits := spec.Limits; limits.Memory > 0 || limits.CPUs > 0 || limits.PIDs > 0 {
		seen.Hierarchies = hierarchies(p.config.UID, p.config.Getenv)
	}
	seen.Run = p.propose()
	seen.Dir = p.config.Store.Dir(seen.Run)
	objects, err := p.objects().all()
	if err != nil {
		return bottle.Plan{}, err
	}
	for _, o := range objects {
		seen.Names[o.Name] = true
	}
	return plan(spec, seen)
}

const bubblewrap = "bwrap"

// Ready says whether this machine has what a native bottle needs.
func (p *Platform) Ready(context.Context) error {
	return refuseMachine(lookPath(bubblewrap, p.config.Getenv("PATH")), p.namespacesAllowed())
}

// lookPath finds a program as execvp(3) does, but never in a relative
// directory.
func lookPath(name, path string) string {
	if path == "" {
		path = searchPath
	}
	for _, dir := range filepath.SplitList(path) {
		candidate := filepath.Join(dir, name)
		if info, err := os.Stat(candidate); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && unix.Access(candidate, unix.X_OK) == nil {
			return candidate
		}
	}
	return ""
}

// findProgram finds the agent's program on the host, and the package it
// belongs to: the directory above it that holds a package.json, as npm
// installs it.
func findProgram(name, path string) program {
	at := lookPath(name, path)
	if at == "" {
		return program{}
	}
	real, err := filepath.EvalSymlinks(at)
	if err != nil {
		return program{}
	}
	return inPackage(name, real)
}

// inPackage is a program with the package that its file is in, or alone.
func inPackage(name, real string) program {
	for dir := filepath.Dir(real); dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "package.json")); err == nil {
			return found(name, real, dir)
		}
		if filepath.Base(filepath.Dir(dir)) == "node_modules" {
			break
		}
	}
	return found(name, real, real)
}

func found(name, path, dir string) program {
	p := program{Name: name, Path: path, Dir: dir}
	var err error
	if p.PathFile, err = platform.FileOf(path); err == nil {
		p.DirFile, err = platform.FileOf(dir)
	}
	if err != nil {
		p.PathFile, p.DirFile = bottle.File{}, bottle.File{}
	}
	return p
}

// closedTo is a directory on the way to path that the uid cannot pass; empty
// when there is none.
func closedTo(path string, uid, gid int) string {
	for dir := filepath.Dir(path); path != "" && dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return dir
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return dir
		}
		pass := info.Mode().Perm() & 0o001
		switch {
		case int(owner.Uid) == uid:
			pass = info.Mode().Perm() & 0o100
		case int(owner.Gid) == gid:
			pass = info.Mode().Perm() & 0o010
		}
		if pass == 0 {
			return dir
		}
	}
	return ""
}

// environment is what of the launcher's own a bottle gets: how to show text and
// time.
func (p *Platform) environment() []string {
	var env []string
	for _, name := range []string{"LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_COLLATE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME", "TZ", "COLORTERM"} {
		if value := p.config.Getenv(name); value != "" && !strings.ContainsAny(value, "\x00\n") {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// showing are files of the kernel that show the host to anybody: its keys
// (those of the person's sessions among them), where it was built with any.
var showing = []string{"/proc/keys", "/proc/key-users"}

func existing(paths []string) []string {
	var found []string
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			found = append(found, path)
		}
	}
	return found
}

// readSetting is a file of the kernel's, without white space; empty when it is
// not there.
func readSetting(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}
