package runs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/tree"
)

// ErrReleased says that a run is no longer this process's to change.
var ErrReleased = errors.New("the run's lock was given up")

// Run is a run whose lock this process holds: nobody else changes its ledger.
// It is safe for use by several goroutines.
type Run struct {
	store *Store
	id    ID

	mu     sync.Mutex // guards what follows
	ledger ledger
	dir    int // descriptor of the run's directory, -1 after Release
	lock   int // descriptor that holds the lock, -1 after Release
}

// ID is the run's.
func (r *Run) ID() ID { return r.id }

// Dir is the run's directory.
func (r *Run) Dir() string { return r.store.Dir(r.id) }

// Path is a path below the run's directory.
func (r *Run) Path(elem ...string) string {
	return filepath.Join(append([]string{r.Dir()}, elem...)...)
}

// Info returns the head of the ledger as it is now.
func (r *Run) Info() Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger.Run
}

// Resources returns what is recorded, in the order it was.
func (r *Run) Resources() []Resource {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ledger.Resources)
}

// Record writes resources into the ledger, on the disk when it returns. It
// comes before the resource exists: a crash between the two leaves a record
// of nothing, never a resource without one.
func (r *Run) Record(resources ...Resource) error {
	if recorded := r.Resources(); !slices.ContainsFunc(resources, func(resource Resource) bool { return !slices.Contains(recorded, resource) }) {
		return nil // they are on the disk: an operation that fails changes nothing
	}
	return r.change("record", func(l *ledger) {
		for _, resource := range resources {
			if !slices.Contains(l.Resources, resource) {
				l.Resources = append(l.Resources, resource)
			}
		}
	})
}

// Forget takes resources, which no longer exist, out of the ledger.
func (r *Run) Forget(resources ...Resource) error {
	return r.change("forget", func(l *ledger) { l.forget(resources) })
}

// Conclude is Forget and Update in one.
func (r *Run) Conclude(change func(*Info), gone ...Resource) error {
	return r.change("update", func(l *ledger) {
		change(&l.Run)
		l.Run.ID = r.id
		l.forget(gone)
	})
}

// Update changes the head of the ledger. The id stays what it is.
func (r *Run) Update(change func(*Info)) error {
	return r.change("update", func(l *ledger) {
		change(&l.Run)
		l.Run.ID = r.id
	})
}

// change writes the changed ledger; on an error the old one stands, in memory
// as on the disk.
func (r *Run) change(op string, change func(*ledger)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir < 0 {
		return fmt.Errorf("%s in the ledger of run %s: %w", op, r.id, ErrReleased)
	}
	next := r.ledger
	next.Version = ledgerVersion
	next.Resources = slices.Clone(r.ledger.Resources)
	change(&next)
	if err := next.write(r.dir, op); err != nil {
		return hint.Disk(fmt.Errorf("%s in the ledger of run %s: %w", op, r.id, err))
	}
	r.ledger = next
	return nil
}

// MakeDir makes the directory name in the run's, with mode and owner. One that
// exists is an error.
func (r *Run) MakeDir(name string, mode fs.FileMode, uid, gid int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir < 0 {
		return fmt.Errorf("make %s of run %s: %w", name, r.id, ErrReleased)
	}
	if _, err := tree.Stat(r.dir, name); err == nil {
		return fmt.Errorf("make %s of run %s: %w", name, r.id, fs.ErrExist)
	}
	fd, err := tree.MakeDir(r.dir, name, mode, tree.Owner{UID: uid, GID: gid})
	if err != nil {
		return hint.Disk(fmt.Errorf("make %s of run %s: %w", name, r.id, err))
	}
	return unix.Close(fd)
}

// Numbers are what the kernel knows a directory of the run's by, which is looked
// for by the run's descriptor: its path may lead elsewhere by now.
func (r *Run) Numbers(name string) (dev, ino uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir < 0 {
		return 0, 0, fmt.Errorf("look at %s of run %s: %w", name, r.id, ErrReleased)
	}
	stat, err := tree.Stat(r.dir, name)
	if err != nil {
		return 0, 0, fmt.Errorf("look at %s of run %s: %w", name, r.id, err)
	}
	return uint64(stat.Dev), stat.Ino, nil //nolint:unconvert,gosec // int32 on some systems
}

// Release gives the lock up. What is on the disk stays. Releasing twice is
// fine.
func (r *Run) Release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.release()
}

func (r *Run) release() error {
	if r.dir < 0 {
		return nil
	}
	err := errors.Join(unix.Close(r.lock), unix.Close(r.dir))
	r.dir, r.lock = -1, -1
	return err
}

// Discard removes the run's directory with all that is in it, work included,
// and gives the lock up: for a launch that was undone, and for cleanup. The run
// vanishes from the store at once; a crash later leaves a hidden directory,
// which Tidy removes.
func (r *Run) Discard() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir < 0 {
		return fmt.Errorf("remove run %s: %w", r.id, ErrReleased)
	}
	hidden := gonePrefix + string(r.id)
	if err := failpoint.Hit("runs.discard.before-rename"); err != nil {
		return err
	}
	err := unix.Renameat(r.store.runs, string(r.id), r.store.runs, hidden)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return hint.Disk(fmt.Errorf("remove run %s: %w", r.id, err))
	}
	if err := failpoint.Hit("runs.discard.before-remove"); err != nil {
		return err
	}
	err = tree.Remove(context.Background(), r.store.runs, hidden)
	if released := r.release(); err == nil {
		err = released
	}
	if err != nil {
		return fmt.Errorf("remove run %s: %w", r.id, err)
	}
	return nil
}

// openLock opens the lock file in the directory dir, making it when make is
// set. The descriptor is not inherited by children.
func openLock(dir int, make bool) (int, error) {
	flags := unix.O_RDWR | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if make {
		flags |= unix.O_CREAT
	}
	fd, err := unix.Openat(dir, lockName, flags, 0o600)
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENXIO):
		return -1, &os.PathError{Op: "open", Path: lockName, Err: tree.ErrIrregular}
	case err != nil:
		return -1, &os.PathError{Op: "open", Path: lockName, Err: err}
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return -1, &os.PathError{Op: "open", Path: lockName, Err: errors.Join(err, tree.ErrIrregular)}
	}
	return fd, nil
}

// openOrMend opens the run's lock. Something else that somebody put in its place
// is taken for what it is, no lock that anybody holds, or the run would be at work
// for good (TestLockThatIsNone).
func (r *Run) openOrMend() (int, error) {
	fd, err := openLock(r.dir, true)
	if !errors.Is(err, tree.ErrIrregular) {
		return fd, err
	}
	guard, err := r.store.guard(false) // of two that mend it each would have a lock
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(guard) }()
	fd, err = openLock(r.dir, true)
	if !errors.Is(err, tree.ErrIrregular) {
		return fd, err
	}
	if err := tree.Remove(context.Background(), r.dir, lockName); err != nil {
		return -1, err
	}
	return openLock(r.dir, true)
}
