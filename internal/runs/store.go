package runs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/tree"
)

const (
	lockName = "lock"
	// A run is made under a hidden name and removed under another, so that
	// whatever has an id for a name was whole once.
	draftPrefix = ".new-"
	gonePrefix  = ".gone-"
)

// ErrLocked says that a live process holds a run's lock.
var ErrLocked = errors.New("in use by a live process")

// ErrNotFound says that there is no such run.
var ErrNotFound = errors.New("no such run")

// Propose returns an id for a run that starts now.
func (s *Store) Propose() ID { return newID(time.Now()) }

// Create makes the directory and the ledger of a run and takes its lock. An
// empty ID is proposed, an empty State is Launching, a zero Started is now. On
// an error nothing is left.
func (s *Store) Create(info Info, resources ...Resource) (*Run, error) {
	if info.ID == "" {
		info.ID = s.Propose()
	}
	if info.State == "" {
		info.State = Launching
	}
	if info.Started.IsZero() {
		info.Started = time.Now().UTC()
	}
	if !info.ID.Valid() {
		return nil, fmt.Errorf("create run %q: not an id", string(info.ID))
	}
	run, err := s.create(info, resources)
	if err != nil {
		return nil, hint.Disk(fmt.Errorf("create run %s in %s: %w", info.ID, s.root, err))
	}
	return run, nil
}

func (s *Store) create(info Info, resources []Resource) (run *Run, err error) {
	if _, err := s.open(true); err != nil {
		return nil, err
	}
	guard, err := s.guard(true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(guard) }()
	if err := failpoint.Hit("runs.create.before-dir"); err != nil {
		return nil, err
	}
	hidden := draftPrefix + string(info.ID)
	if err := unix.Mkdirat(s.runs, hidden, 0o700); err != nil {
		return nil, &os.PathError{Op: "mkdir", Path: hidden, Err: err}
	}
	run = &Run{store: s, id: info.ID, dir: -1, lock: -1, ledger: ledger{Version: ledgerVersion, Run: info, Resources: resources}}
	defer func() {
		if err != nil {
			_ = run.release()
			_ = tree.Remove(context.Background(), s.runs, hidden)
		}
	}()
	if run.dir, err = tree.OpenDir(s.runs, hidden); err != nil {
		return nil, err
	}
	return run, run.fill(hidden, s.mode)
}

// fill writes what a new run consists of and gives it its name.
func (r *Run) fill(hidden string, mode fs.FileMode) error {
	if err := unix.Fchmod(r.dir, uint32(mode)); err != nil {
		return err
	}
	if err := failpoint.Hit("runs.create.before-lock"); err != nil {
		return err
	}
	var err error
	if r.lock, err = openLock(r.dir, true); err != nil {
		return err
	}
	if err := acquire(r.lock, false); err != nil {
		return err
	}
	if err := r.ledger.write(r.dir, "create"); err != nil {
		return err
	}
	if err := failpoint.Hit("runs.create.before-name"); err != nil {
		return err
	}
	// An empty directory may be replaced by rename(2); a run is never empty.
	if err := unix.Renameat(r.store.runs, hidden, r.store.runs, string(r.id)); err != nil {
		return &os.PathError{Op: "rename", Path: hidden, Err: err}
	}
	if err = failpoint.Hit("runs.create.after-name"); err == nil {
		err = syncDir(r.store.runs)
	}
	if err != nil { // Create undoes it under its hidden name
		_ = unix.Renameat(r.store.runs, string(r.id), r.store.runs, hidden)
	}
	return err
}

// guard holds the store's own lock until its descriptor is closed: shared by
// those who make runs, alone by the one who removes what is half made.
func (s *Store) guard(shared bool) (int, error) {
	fd, err := unix.Openat(s.runs, ".lock", unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: ".lock", Err: err}
	}
	if shared {
		err = await(fd, true)
	} else {
		err = acquire(fd, false)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Load reads a run's ledger. ErrNotFound says that there is no such run,
// ErrDamaged that its ledger cannot be read.
func (s *Store) Load(id ID) (Info, []Resource, error) {
	dir, err := s.openRun(id)
	if err != nil {
		return Info{}, nil, err
	}
	defer func() { _ = unix.Close(dir) }()
	l, err := readLedger(dir, id)
	if err != nil {
		return Info{}, nil, fmt.Errorf("read the ledger of run %s: %w", id, missing(err))
	}
	return l.Run, l.Resources, nil
}

// missing turns the absence of a ledger into damage: the directory is there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it is missing", ErrDamaged)
	}
	return err
}

func (s *Store) openRun(id ID) (int, error) {
	if !id.Valid() {
		return -1, fmt.Errorf("%w: %q is not an id", ErrNotFound, string(id))
	}
	top, err := s.open(false)
	if err != nil {
		return -1, err
	}
	if top == none {
		return -1, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	dir, err := tree.OpenDir(top, string(id))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return -1, fmt.Errorf("%w: %s", ErrNotFound, id) // a link or a file is none either
	}
	return dir, err
}

// List returns all runs, oldest first. What is not a run is passed over. A run
// whose ledger cannot be read is in the list as Damaged, with nothing but its
// id and Problem.
func (s *Store) List() ([]Info, error) { return s.list(func(int, string) bool { return true }) }

// Unsettled is List without the runs that are over and have nothing left: of
// those nothing is read.
func (s *Store) Unsettled() ([]Info, error) {
	return s.list(func(top int, name string) bool {
		stat, err := tree.Stat(top, name+"/"+ledgerName)
		return err != nil || stat.Mode&unix.S_IFMT != unix.S_IFREG || stat.Mode&0o777 != modeSettled
	})
}

func (s *Store) list(wanted func(top int, name string) bool) ([]Info, error) {
	if dir, err := s.open(false); err != nil || dir == none {
		return nil, err
	}
	top, err := tree.OpenDir(s.runs, "")
	if err != nil {
		return nil, fmt.Errorf("list the runs in %s: %w", s.root, err)
	}
	defer func() { _ = unix.Close(top) }()
	names, err := tree.Names(top)
	if err != nil {
		return nil, fmt.Errorf("list the runs in %s: %w", s.root, err)
	}
	slices.Sort(names)
	infos := make([]Info, 0, len(names))
	for _, name := range names {
		id := ID(name)
		if !id.Valid() || !wanted(top, name) {
			continue
		}
		if stat, err := tree.Stat(top, name); err != nil || !tree.IsDir(&stat) {
			continue
		}
		info, _, err := s.Load(id)
		switch {
		case errors.Is(err, ErrNotFound): // removed meanwhile
		case err != nil:
			infos = append(infos, damaged(id, err))
		default:
			infos = append(infos, info)
		}
	}
	return infos, nil
}

func damaged(id ID, err error) Info {
	return Info{ID: id, State: Damaged, Problem: err.Error()}
}

// Lock takes the lock of an existing run. ErrLocked says that a live process
// holds it. A run whose ledger cannot be read can be locked, so that it can be
// removed: its State is Damaged.
func (s *Store) Lock(id ID) (*Run, error) {
	dir, err := s.openRun(id)
	if err != nil {
		return nil, err
	}
	run := &Run{store: s, id: id, dir: dir, lock: -1}
	if err := run.take(); err != nil {
		_ = run.release()
		return nil, hint.Disk(fmt.Errorf("lock run %s: %w", id, err))
	}
	return run, nil
}

func (r *Run) take() (err error) {
	if r.lock, err = r.openOrMend(); err != nil {
		return err
	}
	if err := acquire(r.lock, false); err != nil {
		return err
	}
	// Who held it before may have removed the run meanwhile.
	if !r.store.same(r.id, r.dir) {
		return ErrNotFound
	}
	// Read after the lock was won: what was there before is not the last.
	r.ledger, err = readLedger(r.dir, r.id)
	if err != nil {
		r.ledger = ledger{Run: damaged(r.id, missing(err))}
	}
	return nil
}

// same says whether dir still is the directory of the run id.
func (s *Store) same(id ID, dir int) bool {
	var open unix.Stat_t
	named, err := tree.Stat(s.runs, string(id))
	return err == nil && unix.Fstat(dir, &open) == nil && open.Dev == named.Dev && open.Ino == named.Ino
}

// Alive says whether a live process holds the run's lock. When that cannot be
// found out, a run counts as alive: nothing is swept on a guess.
func (s *Store) Alive(id ID) bool {
	dir, err := s.openRun(id)
	if err != nil {
		return !errors.Is(err, ErrNotFound)
	}
	defer func() { _ = unix.Close(dir) }()
	return lockHeld(dir)
}

func lockHeld(dir int) bool {
	lock, err := openLock(dir, false)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer func() { _ = unix.Close(lock) }()
	live, err := held(lock)
	return live || err != nil
}

// Tidy removes what crashes left of runs that were being made or removed. It
// does nothing while another process makes a run.
func (s *Store) Tidy(ctx context.Context) error {
	if dir, err := s.open(false); err != nil || dir == none {
		return err
	}
	guard, err := s.guard(false)
	if errors.Is(err, ErrLocked) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tidy the runs in %s: %w", s.root, err)
	}
	defer func() { _ = unix.Close(guard) }()
	top, err := tree.OpenDir(s.runs, "")
	if err != nil {
		return fmt.Errorf("tidy the runs in %s: %w", s.root, err)
	}
	defer func() { _ = unix.Close(top) }()
	names, err := tree.Names(top)
	for _, name := range names {
		if strings.HasPrefix(name, draftPrefix) || strings.HasPrefix(name, gonePrefix) {
			err = errors.Join(err, s.tidy(ctx, name))
		}
	}
	if err != nil {
		return fmt.Errorf("tidy the runs in %s: %w", s.root, err)
	}
	return nil
}

func (s *Store) tidy(ctx context.Context, name string) error {
	if dir, err := tree.OpenDir(s.runs, name); err == nil {
		busy := lockHeld(dir) // by one that is just removing it
		_ = unix.Close(dir)
		if busy {
			return nil
		}
	}
	return tree.Remove(ctx, s.runs, name)
}
