package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// PrunePrograms removes the copies of the program in a state directory that are
// not used, and returns the paths of those that it removed or, with dry, would.
// The notes of programs' hashes go too (noteOf): the next launch writes its own
// anew.
func PrunePrograms(stateRoot string, used func(hash string) bool, dry bool) (removed []string, err error) {
	dir := ProgramsDir(stateRoot)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if used(entry.Name()) {
			continue
		}
		if !dry {
			if failed := os.RemoveAll(path); failed != nil {
				err = errors.Join(err, failed)
				continue
			}
		}
		if entry.IsDir() {
			removed = append(removed, path)
		}
	}
	return removed, err
}
