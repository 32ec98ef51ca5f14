package agentcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"

	"claude-bottle/internal/harness"
)

// Prune removes the installed versions other than those kept, and what installs
// left that were killed; it returns what it removed or, with dry, would. Who
// mounts one must be gone: a bottle sees its directory become empty. An agent that
// is being installed is left alone.
func (c Cache) Prune(keep []harness.Package, dry bool) (removed []string, err error) {
	agents, err := os.ReadDir(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, agent := range agents {
		some, failed := c.pruneAgent(filepath.Join(c.Dir, agent.Name()), keep, dry)
		removed, err = append(removed, some...), errors.Join(err, failed)
	}
	return removed, err
}

func (c Cache) pruneAgent(dir string, keep []harness.Package, dry bool) (removed []string, err error) {
	lock := flock.New(filepath.Join(dir, ".lock"))
	if locked, err := lock.TryLock(); err != nil || !locked {
		return nil, err
	}
	defer func() { _ = lock.Close() }()
	versions, err := os.ReadDir(dir)
	for _, version := range versions {
		path := filepath.Join(dir, version.Name())
		kept := slices.ContainsFunc(keep, func(p harness.Package) bool { return c.Place(p) == path })
		hidden := strings.HasPrefix(version.Name(), ".")
		if kept || !version.IsDir() || hidden && !strings.HasPrefix(version.Name(), draftPrefix) {
			continue
		}
		if !dry {
			// Half of a version would be found by nobody.
			aside := filepath.Join(dir, draftPrefix+"gone")
			failed := errors.Join(os.RemoveAll(aside), os.Rename(path, aside))
			if failed == nil {
				failed = os.RemoveAll(aside)
			}
			if failed != nil {
				err = errors.Join(err, fmt.Errorf("remove %s: %w", path, failed))
				continue
			}
		}
		removed = append(removed, path)
	}
	return removed, err
}
