package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/tree"
)

// rootState is where root's runs are: below a closed home neither the agent's
// uid nor bubblewrap could reach them.
const rootState = "/var/lib/claude-bottle"

// DefaultRoot is the state directory: $XDG_STATE_HOME/claude-bottle, else for
// root /var/lib/claude-bottle, else ~/.local/state/claude-bottle. A relative
// XDG_STATE_HOME is ignored (XDG Base Directory Specification).
func DefaultRoot(getenv func(string) string, uid int) (string, error) {
	if state := getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "claude-bottle"), nil
	}
	if uid == 0 {
		return rootState, nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", hint.With(errors.New("find the state directory: HOME is not set to an absolute path"),
			"set HOME or XDG_STATE_HOME")
	}
	return filepath.Join(home, ".local", "state", "claude-bottle"), nil
}

// Store is the runs below one state directory. It is safe for use by several
// goroutines and processes at once.
type Store struct {
	root string
	mode fs.FileMode // of directories: 0700, for root 0711 so that a run's uid gets at its own

	mu   sync.Mutex // guards what follows
	runs int        // descriptor of root/runs, open as long as the process lives; none while there is no such directory
}

// none is the descriptor of a directory that is not there.
const none = -1

// Open opens the store below root, an absolute path. One that is missing has
// no runs, and is made with the first: to look leaves no trace. Open refuses a
// state directory that belongs to somebody else, or that somebody else could put
// another in the place of, and closes one that others could write to.
func Open(root string) (*Store, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("open the state directory %q: not an absolute path", root)
	}
	store := &Store{root: filepath.Clean(root), mode: 0o700, runs: none}
	if os.Geteuid() == 0 {
		store.mode = 0o711
	}
	if _, err := store.open(false); err != nil {
		return nil, hint.Disk(fmt.Errorf("open the state directory: %w", err))
	}
	return store, nil
}

// open returns the descriptor of root/runs. When that is missing it is made,
// or for those who only look, none.
func (s *Store) open(create bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs != none {
		return s.runs, nil
	}
	var err error
	s.runs, err = s.establish(create)
	return s.runs, err
}

// establish checks what is there, and makes what is missing if create is set.
func (s *Store) establish(create bool) (int, error) {
	if _, err := os.Stat(s.root); !create && errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err := os.MkdirAll(s.root, s.mode); err != nil {
		return none, err
	}
	// A state directory that is a link of the person's (to a bigger disk) is
	// their own choice; what it leads to is checked, and whose it is by way.
	real, err := filepath.EvalSymlinks(s.root)
	if err != nil {
		return none, err
	}
	root, err := tree.Open(real)
	if err != nil {
		return none, err
	}
	defer func() { _ = unix.Close(root) }()
	if err := s.own(root, real); err != nil {
		return none, err
	}
	if err := way(s.root); err != nil {
		return none, err
	}
	if _, err := tree.Stat(root, "runs"); !create && errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	runs, err := tree.MakeDir(root, "runs", s.mode, tree.Owner{UID: os.Geteuid(), GID: os.Getegid()})
	if err != nil {
		return none, err
	}
	if err := s.own(runs, filepath.Join(real, "runs")); err != nil {
		_ = unix.Close(runs)
		return none, err
	}
	return runs, nil
}

// own refuses a directory of somebody else: its owner could swap what is in
// it, and have this process write where and remove what it likes.
func (s *Store) own(fd int, path string) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if int(stat.Uid) != os.Geteuid() {
		return hint.With(fmt.Errorf("%s belongs to uid %d, not to you (uid %d)", path, stat.Uid, os.Geteuid()),
			"set XDG_STATE_HOME to a directory of your own")
	}
	if fs.FileMode(stat.Mode).Perm() == s.mode {
		return nil
	}
	if err := unix.Fchmod(fd, uint32(s.mode)); err != nil {
		return &fs.PathError{Op: "chmod", Path: path, Err: err}
	}
	return nil
}

// Root is the state directory.
func (s *Store) Root() string { return s.root }

// Dir is the directory of a run, which need not exist.
func (s *Store) Dir(id ID) string { return filepath.Join(s.root, "runs", string(id)) }
