// Package agentcache keeps the programs of coding agents that are not on the
// host otherwise: each version in a directory of its own, installed by the
// registry's own client with the person's configuration, and never changed
// afterwards. It runs none of a package's scripts. Asking the person is left to
// others.
package agentcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"claude-bottle/internal/harness"
	"claude-bottle/internal/hint"
)

// Cache is a directory of installed agents, DIR/NAME/VERSION.
type Cache struct {
	Dir string
	// Getenv reads the person's environment; npm gets what it needs of it.
	Getenv func(string) string
	// Environ is that environment, NAME=value.
	Environ []string
}

// noteName is a version's note, written when it is whole.
const noteName = "installed.json"

// note is what an install came to. What does not agree with it is broken.
type note struct {
	Program string    `json:"program"` // relative to the version's directory
	Size    int64     `json:"size"`    // bytes
	Changed time.Time `json:"changed"`
}

// Place is where a package's version is, installed or not.
func (c Cache) Place(p harness.Package) string {
	return filepath.Join(c.Dir, p.Command, p.Version)
}

// Find returns the program of a package that is installed whole; empty when it
// is not.
func (c Cache) Find(p harness.Package) string {
	dir := c.Place(p)
	data, err := os.ReadFile(filepath.Join(dir, noteName))
	if err != nil {
		return ""
	}
	var made note
	if json.Unmarshal(data, &made) != nil || !filepath.IsLocal(made.Program) {
		return ""
	}
	path := filepath.Join(dir, made.Program)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 ||
		info.Size() != made.Size || !info.ModTime().Equal(made.Changed) {
		return ""
	}
	return path
}

// version is one, and not a tag such as "latest", which would mean another
// tomorrow and still be found.
var version = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]*$`) })

// Check says whether Install could be tried.
func (c Cache) Check(p harness.Package) error {
	if !version().MatchString(p.Version) {
		return hint.With(fmt.Errorf("install %s: %q is no version", p.Command, p.Version), "name one, as 2.1.330")
	}
	if c.npm() == "" {
		return hint.With(fmt.Errorf("%s is not on this machine, and npm, which would install it, is not either", p.Command),
			hint.Install("npm", "npm", nil)+" or "+p.Command+" itself, or use --platform docker")
	}
	return nil
}

// Install installs a package once and returns its program. Of several that do
// so at a time one installs, and the others wait for it. What is there broken is
// made again. said takes what npm prints.
func (c Cache) Install(ctx context.Context, p harness.Package, said io.Writer) (string, error) {
	if err := c.Check(p); err != nil {
		return "", err
	}
	parent := filepath.Dir(c.Place(p))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	lock := flock.New(filepath.Join(parent, ".lock"))
	if _, err := lock.TryLockContext(ctx, lockPause); err != nil {
		return "", fmt.Errorf("wait for another install of %s: %w", p.Command, err)
	}
	defer func() { _ = lock.Close() }()
	if path := c.Find(p); path != "" {
		return path, nil
	}
	if err := tidy(parent); err != nil {
		return "", err
	}
	draft, err := os.MkdirTemp(parent, draftPrefix)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(draft) }()
	if err := c.fetch(ctx, p, draft, said); err != nil {
		return "", hint.With(fmt.Errorf("install %s: %w", p.Spec(), err),
			"see whether `npm view "+p.Spec()+"` works; your own configuration of npm was used")
	}
	if err := seal(draft, p); err != nil {
		return "", fmt.Errorf("install %s: %w", p.Spec(), err)
	}
	return c.put(p, draft)
}

// lockPause is between two looks at whether another install is over.
const lockPause = 50 * time.Millisecond

// draftPrefix begins the name of an install under way.
const draftPrefix = ".installing-"

// tidy removes what installs left that were killed. The caller has the lock.
func tidy(parent string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), draftPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(parent, entry.Name())))
		}
	}
	return err
}

// seal makes a draft readable for the bottles' user, whom it may not belong to,
// and notes what it holds. All of it is on the disk before it has its name.
func seal(draft string, p harness.Package) error {
	err := filepath.WalkDir(draft, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm()&^0o022 | 0o444
		if entry.IsDir() || mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
	if err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(draft, p.Program))
	if err != nil {
		return err
	}
	if glibc := slices.DeleteFunc(slices.Clone(found), func(path string) bool { return strings.Contains(path, "-musl") }); len(found) > 1 {
		found = glibc // npm before 10 takes both
	}
	if len(found) != 1 {
		return fmt.Errorf("the package holds %d programs for this machine", len(found))
	}
	info, err := os.Lstat(found[0])
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s in it is no program", filepath.Base(found[0]))
	}
	relative, err := filepath.Rel(draft, found[0])
	if err != nil {
		return err
	}
	if err := flush(found[0]); err != nil {
		return err
	}
	data, err := json.Marshal(note{relative, info.Size(), info.ModTime()})
	if err != nil {
		return err
	}
	path := filepath.Join(draft, noteName)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	return errors.Join(flush(path), flush(draft))
}

func flush(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// put gives a draft its name. A broken version is moved away first: a bottle
// that still runs from it keeps its files open.
func (c Cache) put(p harness.Package, draft string) (string, error) {
	place := c.Place(p)
	aside := filepath.Join(filepath.Dir(place), draftPrefix+"old")
	if err := os.Rename(place, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.Rename(draft, place); err != nil {
		return "", err
	}
	if err := errors.Join(os.RemoveAll(aside), flush(filepath.Dir(place))); err != nil {
		return "", err
	}
	if path := c.Find(p); path != "" {
		return path, nil
	}
	return "", errors.New("it is not what was installed a moment ago")
}
