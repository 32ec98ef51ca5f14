package platform

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"claude-bottle/internal/workspace"
)

// TestWatchDiskSeesWhatHides: a directory that denies itself for a moment is a
// program's; one that goes on doing so hides what is in it.
func TestWatchDiskSeesWhatHides(t *testing.T) {
	for name, test := range map[string]struct {
		faults []int // of each measurement; the last goes on
		ends   string
	}{
		"always":           {[]int{1}, "cannot be measured"},
		"after some time":  {[]int{0, 0, 2}, "cannot be measured"},
		"now and then":     {[]int{1, 1, 1, 1, 0, 1, 1, 1, 1, 0}, ""},
		"never":            {[]int{0}, ""},
		"at another place": {[]int{1, 3, 2, 7, 5, 0}, "cannot be measured"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				measured := 0
				err := WatchDisk(ctx, 1<<20, func(context.Context) (workspace.Measure, error) {
					now := test.faults[min(measured, len(test.faults)-1)]
					if measured++; measured > 40 {
						cancel()
					}
					return workspace.Measure{Bytes: 1, Faults: now}, nil
				})
				if test.ends == "" && err != nil || test.ends != "" && (err == nil || !strings.Contains(err.Error(), test.ends)) {
					t.Errorf("after %d measurements: %v", measured, err)
				}
			})
		})
	}
}

func TestWatchDiskEndsAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := WatchDisk(t.Context(), 10, func(context.Context) (workspace.Measure, error) {
			return workspace.Measure{Bytes: 11}, nil
		})
		if err == nil || !strings.Contains(err.Error(), "it used 11 bytes of disk, its limit is 10") {
			t.Error(err)
		}
	})
}
