package platform

import (
	"context"
	"fmt"
	"time"
)

// How often a bottle's disk is measured: at least diskPause apart, and so that
// measuring takes a tenth of the time at most, however large the trees are.
const (
	diskPause = 2 * time.Second
	diskShare = 10
)

// WatchDisk measures until ctx ends, and returns why the bottle must be
// stopped when it uses more than limit bytes; nil when ctx ended.
func WatchDisk(ctx context.Context, limit int64, measure func(context.Context) (int64, error)) error {
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
		case used > limit:
			return fmt.Errorf("the bottle was stopped: it used %d bytes of disk, its limit is %d", used, limit)
		}
		pause = max(diskPause, diskShare*time.Since(start))
	}
}
