package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"claude-bottle/internal/hint"
)

// Check refuses to copy a directory that is too much to hand to an agent: the
// whole file system, the home directory or one that contains it, and the state
// directory, what contains it and what is in it, but for a run's own work.
// Directories are compared as the file system knows them, so that neither
// links nor mounts nor upper case lead around it. stateRoot need not exist.
func Check(cwd, home, stateRoot string) error {
	fail := func(why string) error {
		return hint.With(fmt.Errorf("copy %s into a bottle: %s", cwd, why),
			"run it in a project's directory, or without --cwd")
	}
	dir, err := os.Stat(cwd)
	if err != nil {
		return fail(cause(err))
	}
	if !dir.IsDir() {
		return fail("it is not a directory")
	}
	if top, err := os.Stat("/"); err == nil && os.SameFile(dir, top) {
		return fail("it is the whole file system")
	}
	if chain := upwards(home); len(chain) > 0 {
		if os.SameFile(dir, chain[0].info) {
			return fail("it is your home directory")
		}
		if _, in := find(chain, dir); in {
			return fail("it contains your home directory")
		}
	}
	state := upwards(stateRoot)
	if len(state) == 0 {
		return nil
	}
	if _, in := find(state, dir); in {
		return fail("it is or contains the directory with the runs of claude-bottle, " + stateRoot)
	}
	if state[0].path != resolved(stateRoot) {
		return nil // it does not exist yet: nothing is in it
	}
	if below, in := find(upwards(cwd), state[0].info); in && !isWork(below, resolved(cwd)) {
		return fail("it belongs to the runs of claude-bottle in " + stateRoot)
	}
	return nil
}

// isWork says whether dir is, or is in, the work of a run of the state
// directory: root/runs/ID/work.
func isWork(root, dir string) bool {
	below, err := filepath.Rel(root, dir)
	if err != nil {
		return false
	}
	elements := strings.Split(below, string(filepath.Separator))
	return len(elements) >= 3 && elements[0] == "runs" && elements[2] == "work"
}

// level is a directory on the way from one to the top.
type level struct {
	path string
	info fs.FileInfo
}

// upwards lists path, or the nearest directory above it that exists, and all
// that are above it. An empty path has none.
func upwards(path string) []level {
	if path == "" {
		return nil
	}
	var chain []level
	for at := resolved(path); ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil {
			chain = append(chain, level{at, info})
		}
		if at == filepath.Dir(at) {
			return chain
		}
	}
}

// resolved is path without links, as far as it exists.
func resolved(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return "/"
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real
	}
	if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
		return path
	}
	return filepath.Join(resolved(filepath.Dir(path)), filepath.Base(path))
}

// find returns the path of dir in chain.
func find(chain []level, dir fs.FileInfo) (string, bool) {
	for _, at := range chain {
		if os.SameFile(at.info, dir) {
			return at.path, true
		}
	}
	return "", false
}

// cause is err without the operation and the path, which the caller names.
func cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
