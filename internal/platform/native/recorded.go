//go:build linux

package native

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/runs"
)

// recorded adds what a run's ledger alone knows of: the limits of a bottle
// whose file is lost, and the names that it may have had. A run whose ledger is
// lost too has none that are known.
func (o *object) recorded(store *runs.Store, run runs.ID) (names []string, err error) {
	_, resources, err := store.Load(run)
	if errors.Is(err, runs.ErrNotFound) || errors.Is(err, runs.ErrDamaged) {
		return nil, nil
	}
	for _, resource := range resources {
		switch resource.Kind {
		case kindBottle:
			names = append(names, resource.Name)
		case kindGroup:
			if slices.Contains(o.Groups, resource.Name) {
				continue
			}
			if failed := groupOf(run, resource.Name); failed != nil {
				err = errors.Join(err, fmt.Errorf("control group %s of the ledger: %w", resource.Name, failed))
				continue
			}
			o.Groups = append(o.Groups, resource.Name)
		case kindScope:
			if o.Scope != nil {
				continue
			}
			var failed error
			if o.Scope, failed = scopeOf(run, resource.Name); failed != nil {
				err = errors.Join(err, fmt.Errorf("scope %s of the ledger: %w", resource.Name, failed))
			}
		}
	}
	return names, err
}

// limitsName is what a run's control groups and its scope are called.
func limitsName(run runs.ID) string { return "claude-bottle-" + string(run) }

// groupOf says why a directory is not to be taken for a run's control group:
// it has another's name, or lies outside of the kernel's hierarchies. One that
// is missing is the run's.
func groupOf(run runs.ID, dir string) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || filepath.Base(dir) != limitsName(run) {
		return errors.New("it is not of this run")
	}
	var stat unix.Statfs_t
	err := unix.Statfs(filepath.Dir(dir), &stat)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case stat.Type != unix.CGROUP_SUPER_MAGIC && stat.Type != unix.CGROUP2_SUPER_MAGIC:
		return errors.New("it is no control group")
	}
	return nil
}

// scopeOf reads what enterScope records. The bus must be one socket: a bus's
// address can also be a list, or a program to be run.
func scopeOf(run runs.ID, recorded string) (*scope, error) {
	bus, unit, _ := strings.Cut(recorded, " ")
	path, ok := strings.CutPrefix(bus, "unix:path=/")
	if !ok || strings.ContainsAny(path, ";,") || unit != limitsName(run)+".scope" {
		return nil, errors.New("it is not of this run")
	}
	return &scope{Bus: bus, Unit: unit}, nil
}
