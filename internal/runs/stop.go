package runs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// stopName is the file that says that a person asked for the end of a run, who
// is not the one that launched it: the ledger is the launcher's alone.
const stopName = "stop"

// AskToStop notes that a run is to end. It stays with the run.
func (s *Store) AskToStop(id ID) error {
	dir, err := s.openRun(id)
	if err != nil {
		return fmt.Errorf("ask run %s to stop: %w", id, err)
	}
	defer func() { _ = unix.Close(dir) }()
	fd, err := unix.Openat(dir, stopName, unix.O_CREAT|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("ask run %s to stop: %w", id, err)
	}
	return unix.Close(fd)
}

// AskedToStop says whether somebody did.
func (s *Store) AskedToStop(id ID) bool {
	dir, err := s.openRun(id)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(dir) }()
	return askedToStop(dir)
}

// AskedToStop is the store's, for who holds the run.
func (r *Run) AskedToStop() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dir >= 0 && askedToStop(r.dir)
}

func askedToStop(dir int) bool {
	var stat unix.Stat_t
	return unix.Fstatat(dir, stopName, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil
}
