package platform

import (
	"context"
	"fmt"
	"time"

	"claude-bottle/internal/workspace"
)

// How often a bottle's disk is measured: at least diskPause apart, and so that
// measuring takes a tenth of the time at most, however large the trees are.
const (
	diskPause = 2 * time.Second
	diskShare = 10
	// diskBlind is how many measurements in a row may leave something out. A
	// test suite makes a directory that nobody can read for a moment; one that
	// stays so hides what is in it.
	diskBlind = 5
)

// WatchDisk measures until ctx ends, and returns why the bottle must be
// stopped: it uses more than limit bytes, or keeps what it uses from being
// measured. It is nil when ctx ended.
func WatchDisk(ctx context.Context, limit int64, measure func(context.Context) (workspace.Measure, error)) error {
	blind := 0
	for pause := diskPause; ; {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		start := time.Now()
		used, err := measure(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil: // a tree that nobody can measure is one that was made to be so
			return fmt.Errorf("the bottle was stopped: its disk use cannot be measured: %w", err)
		case used.Bytes > limit:
			return fmt.Errorf("the bottle was stopped: it used %d bytes of disk, its limit is %d", used.Bytes, limit)
		case used.Faults == 0:
			blind = 0
		default:
			if blind++; blind >= diskBlind {
				return fmt.Errorf("the bottle was stopped: its disk use cannot be measured: %d directories or files deny themselves", used.Faults)
			}
		}
		pause = max(diskPause, diskShare*time.Since(start))
	}
}
