package runs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// turnPoll is how often one that waits for its turn asks again.
const turnPoll = 20 * time.Millisecond

// turns is how many may use the machine at once: enough to keep its processors
// busy while each waits for others, too few to make every call late.
func turns() int { return max(4, 2*runtime.NumCPU()) }

// Turn waits until this process is one of few that load the machine, across
// all processes of this store. Launches and removals are many small calls with
// a limit each: when 64 begin at the same instant and all go on at once, each
// is so late that it counts as failed, while by turns all are through in the
// same time. Release ends the turn, and so does the end of the process. The
// error is ctx's, or says that the store cannot hold locks.
func (s *Store) Turn(ctx context.Context) (release func(), err error) {
	again := time.NewTicker(turnPoll)
	defer again.Stop()
	for {
		fd, err := s.freeTurn()
		if err == nil {
			return func() { _ = unix.Close(fd) }, nil
		}
		if !errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("wait for a turn in %s: %w", s.root, err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// freeTurn takes a lock that nobody holds; ErrLocked when there is none.
func (s *Store) freeTurn() (int, error) {
	dir, err := s.open(true)
	if err != nil {
		return -1, err
	}
	for i := range turns() {
		name := fmt.Sprintf(".lock-turn-%d", i)
		fd, err := unix.Openat(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: name, Err: err}
		}
		err = acquire(fd, false)
		if err == nil {
			return fd, nil
		}
		_ = unix.Close(fd)
		if !errors.Is(err, ErrLocked) {
			return -1, err
		}
	}
	return -1, ErrLocked
}
