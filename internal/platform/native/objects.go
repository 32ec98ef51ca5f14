//go:build linux

package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/tree"
)

// objects is a directory with one file for each bottle, under the bottle's
// name: whoever makes the file has won the name, and what is in it finds the
// bottle's processes again when its ledger is lost. It is not synced: no
// process outlives the machine.
type objects struct{ dir string }

// object is one bottle.
type object struct {
	Run     runs.ID   `json:"run"`
	Name    string    `json:"name"`
	Agent   string    `json:"agent"`
	Started time.Time `json:"started"`
	// Program is the hash of ours, of which its guest is.
	Program string `json:"program,omitempty"`
	// Supervisor is the process whose end is the bottle's; zero before it was
	// started.
	Supervisor identity `json:"supervisor"`
	// Inside is bubblewrap, and process 1 of a namespace that all of the bottle
	// is in; zero before it was started.
	Inside identity `json:"inside"`
	// Groups are the control groups made for it, as directories.
	Groups []string `json:"groups,omitempty"`
	// Scope is systemd's around it; nil when there is none.
	Scope *scope `json:"scope,omitempty"`
}

const (
	objectSuffix = ".json"
	objectMax    = 1 << 20 // bytes
)

func (p *Platform) objects() objects { return objects{filepath.Join(p.config.Store.Root(), Name)} }

func (o objects) path(name string) string { return filepath.Join(o.dir, name+objectSuffix) }

// create takes the object's name; fs.ErrExist says that it is taken.
func (o objects) create(made object) error {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	// Linked into place as a whole, so that nobody reads half of it.
	draft, err := o.draft(made)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft) }()
	return os.Link(draft, o.path(made.Name))
}

// update replaces an object that exists.
func (o objects) update(made object) error {
	draft, err := o.draft(made)
	if err != nil {
		return err
	}
	return os.Rename(draft, o.path(made.Name))
}

func (o objects) draftPath(run runs.ID) string { return filepath.Join(o.dir, ".next-"+string(run)) }

func (o objects) draft(made object) (string, error) {
	data, err := json.Marshal(made)
	if err != nil {
		return "", err
	}
	draft := o.draftPath(made.Run)
	if err := os.WriteFile(draft, data, 0o600); err != nil {
		_ = os.Remove(draft) // half of it, on a full disk
		return "", err
	}
	return draft, nil
}

// remove gives the name up. One that is free already is.
func (o objects) remove(gone object) error {
	return errors.Join(o.removeDraft(gone.Run), drop(o.path(gone.Name)))
}

// removeDraft removes what a launcher that died did not come to give its name.
func (o objects) removeDraft(run runs.ID) error { return drop(o.draftPath(run)) }

func drop(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// all are the bottles of the store. One that cannot be read is an error, with
// the others beside it. A file has its name once it is whole: one that holds half
// of an object, or nothing, lost it when the machine went down, and its bottle
// with it (TestObjectThatIsLost). What is no file at all is nobody's.
func (o objects) all() ([]object, error) {
	entries, err := os.ReadDir(o.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []object
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || !strings.HasSuffix(entry.Name(), objectSuffix) {
			continue
		}
		one, failed := o.read(entry.Name())
		switch {
		case errors.Is(failed, fs.ErrNotExist): // it has just ended
		case failed != nil:
			err = errors.Join(err, failed)
		default:
			found = append(found, one)
		}
	}
	return found, err
}

func (o objects) read(name string) (one object, err error) {
	path := filepath.Join(o.dir, name)
	data, err := tree.ReadFile(path, objectMax)
	if errors.Is(err, tree.ErrIrregular) || err == nil && !json.Valid(data) {
		return one, errors.Join(fs.ErrNotExist, o.clear(name))
	}
	if err != nil {
		return one, err
	}
	if err := json.Unmarshal(data, &one); err != nil {
		return one, hint.With(fmt.Errorf("read %s: %w", path, err), "it may be of another version of claude-bottle: when none of its bottles runs, remove the file")
	}
	return one, nil
}

// clear removes what has a name and is no object.
func (o objects) clear(name string) error {
	dir, err := tree.Open(o.dir)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }()
	return tree.Remove(context.Background(), dir, name)
}

// forget removes the file that a run's ledger names where that cannot be read.
func (o objects) forget(name string) error {
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("bottle %q of the ledger: not a name", name)
	}
	name += objectSuffix
	_, err := o.read(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil // another run has that name by now; or it is gone
	}
	return o.clear(name)
}

// find returns the run's; nil when it has none.
func (o objects) find(run runs.ID) (*object, error) {
	all, err := o.all()
	for _, one := range all {
		if one.Run == run {
			return &one, nil
		}
	}
	return nil, err
}
