package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/wire"
)

// HostMounts are what a spec's mounts come to on this machine. What holds
// credentials or is the system's is refused, under every name that it has; and
// so is what holds a socket, a device or a pipe: a read-only mount keeps nobody
// from speaking to who listens there (TestMountsRefused).
func HostMounts(ctx context.Context, spec bottle.Spec, home, stateRoot string) ([]bottle.HostMount, error) {
	if len(spec.Mounts) == 0 {
		return nil, nil
	}
	var mounts []bottle.HostMount
	places := forbidden(home, stateRoot)
	for _, path := range spec.Mounts {
		mount, err := hostMount(ctx, path, spec, places)
		if err != nil {
			return nil, fmt.Errorf("mounts %s: %w", path, err)
		}
		mounts = append(mounts, mount)
	}
	return mounts, nil
}

func hostMount(ctx context.Context, path string, spec bottle.Spec, places []place) (bottle.HostMount, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		if known, ok := errors.AsType[*fs.PathError](err); ok {
			err = known.Err
		}
		return bottle.HostMount{}, hint.With(err, "correct the path in your manifest, or take it out")
	}
	for _, name := range []string{path, real} {
		if why := refuses(places, name); why != "" {
			return bottle.HostMount{}, hint.With(errors.New(why), "name a directory that holds none of that, or take it out of your manifest")
		}
	}
	for _, inside := range []string{spec.Home, spec.Workspace, "/.claude-bottle"} {
		if within(path, inside) || within(inside, path) {
			return bottle.HostMount{}, errors.New("it would lie over the bottle's own " + inside)
		}
	}
	file, err := FileOf(real)
	if err != nil {
		return bottle.HostMount{}, err
	}
	if err := plainTree(ctx, real, places); err != nil {
		return bottle.HostMount{}, err
	}
	return bottle.HostMount{Source: real, Target: path, File: file, For: forMounts}, nil
}

// FileOf is which file or directory a path leads to now.
func FileOf(path string) (bottle.File, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return bottle.File{}, err
	}
	return bottle.File{Dev: uint64(stat.Dev), Ino: stat.Ino}, nil //nolint:unconvert,gosec // int32 on some systems
}

// SameMounts says whether the sources of a plan's mounts are still the files and
// directories that a person saw.
func SameMounts(mounts []bottle.HostMount) error {
	for _, m := range mounts {
		if file, err := FileOf(m.Source); err != nil || file != m.File {
			return errElsewhere(m.For)
		}
	}
	return nil
}

func errElsewhere(what string) error {
	return hint.With(fmt.Errorf("%s: what is mounted leads elsewhere than the plan says", what), "start again, and look at the plan")
}

// Mounted is what a guest is to find where a plan's mounts are.
func Mounted(mounts []bottle.HostMount) []wire.Mounted {
	var all []wire.Mounted
	for _, m := range mounts {
		all = append(all, wire.Mounted{Path: m.Target, Dev: m.File.Dev, Ino: m.File.Ino})
	}
	return all
}

// CheckMounts says whether a plan's mounts, those of toolchains among them, are
// still what a person saw: what was replaced since by something else is not taken
// along. Who replaces it later yet, while it is mounted, is found by the probe
// (Mounted).
func CheckMounts(ctx context.Context, plan bottle.Plan, home, stateRoot string) error {
	mounts, err := HostMounts(ctx, plan.Spec, home, stateRoot)
	if err != nil {
		return err
	}
	asked := slices.DeleteFunc(slices.Clone(plan.Mounts), func(m bottle.HostMount) bool { return m.For != forMounts })
	same := func(a, b bottle.HostMount) bool {
		return a.Source == b.Source && a.Target == b.Target && a.File == b.File
	}
	if !slices.EqualFunc(mounts, asked, same) {
		return errElsewhere(forMounts)
	}
	return SameMounts(plan.Mounts)
}

// forMounts is what HostMount.For says of the manifest's mounts.
const forMounts = "mounts"

// manyFiles is how many files are looked at for one mount.
const manyFiles = 1_000_000

// plainTree looks for what is no file, directory or link. What cannot be read
// here is not looked at: a bottle, whose user is the same or has fewer rights,
// cannot read it either.
func plainTree(ctx context.Context, root string, places []place) error {
	seen := 0
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) && path != root {
				return nil
			}
			return err
		}
		if seen++; seen > manyFiles {
			return hint.With(fmt.Errorf("it holds more than %d files", manyFiles), "name the directories below that you need")
		}
		if kind := entry.Type(); kind&(os.ModeSocket|os.ModeDevice|os.ModeNamedPipe|os.ModeIrregular) != 0 {
			return hint.With(fmt.Errorf("%s in it is a %s, by which a bottle could reach who is behind it", path, kindOf(kind)),
				"name directories without it, or remove it")
		}
		if entry.IsDir() {
			if why := mountedHere(places, entry); why != "" {
				return fmt.Errorf("%s in it: %s", path, why)
			}
		}
		return ctx.Err()
	})
}

// RefusesTree says why what is in a path must not be seen inside, as for a
// mount of the manifest's; empty when it may.
func (v *Vetting) RefusesTree(ctx context.Context, path string) string {
	if err := plainTree(ctx, path, v.places); err != nil {
		return err.Error()
	}
	return ""
}

// mountedHere says why a directory of a mount must not be seen: what must not
// be seen can be mounted in it too.
func mountedHere(places []place, entry fs.DirEntry) string {
	if slices.Contains(keyNames, entry.Name()) {
		return "it is a directory of keys"
	}
	info, err := entry.Info()
	if err != nil {
		return ""
	}
	for _, p := range places {
		if p.info != nil && os.SameFile(info, p.info) {
			return p.why
		}
	}
	return ""
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&os.ModeSocket != 0:
		return "socket"
	case mode&os.ModeNamedPipe != 0:
		return "pipe"
	default:
		return "device"
	}
}
