package platform

import (
	"cmp"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"claude-bottle/internal/workspace"
)

// TestDiskSeesWhatHides: a directory that denies itself for a moment is a
// program's; one that goes on doing so hides what is in it.
func TestDiskSeesWhatHides(t *testing.T) {
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
				err := Disk{Limit: 1 << 20, Free: FreeIn(), Measure: func(context.Context, int64) (workspace.Measure, error) {
					now := test.faults[min(measured, len(test.faults)-1)]
					if measured++; measured > 40 {
						cancel()
					}
					return workspace.Measure{Bytes: 1, Faults: now}, nil
				}}.Watch(ctx)
				if test.ends == "" && err != nil || test.ends != "" && (err == nil || !strings.Contains(err.Error(), test.ends)) {
					t.Errorf("after %d measurements: %v", measured, err)
				}
			})
		})
	}
}

func TestDiskEndsAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := Disk{Limit: 10, Free: FreeIn(), Measure: func(context.Context, int64) (workspace.Measure, error) {
			return workspace.Measure{Bytes: 11}, nil
		}}.Watch(t.Context())
		if err == nil || !strings.Contains(err.Error(), "it used 11 bytes of disk, its limit is 10") {
			t.Error(err)
		}
	})
}

// disks is a bottle's disk as it fills in a bubble's time.
type disks struct {
	idle    time.Duration // before the bottle writes
	pace    int64         // bytes a second that it writes then
	others  int64         // bytes a second that others write
	took    time.Duration // by a measurement
	blind   bool          // the file system does not say what is free
	hidden  bool          // what the bottle writes is in no tree
	there   int64         // what was free; 0 means enough
	began   time.Time
	looked  int
	passed  int64 // what was over the limit when it was seen
	left    int64 // what was free then
	why     error
	walking time.Duration
}

func (d *disks) used() int64 {
	if d.hidden {
		return 0
	}
	return d.written()
}

func (d *disks) written() int64 {
	return int64(float64(d.pace) * max(time.Since(d.began)-d.idle, 0).Seconds())
}

func (d *disks) free() []int64 {
	if d.blind {
		return nil
	}
	return []int64{max(cmp.Or(d.there, 1<<50)-d.written()-int64(float64(d.others)*time.Since(d.began).Seconds()), 0)}
}

// watch runs until the limit is passed, or for a minute.
func (d *disks) watch(t *testing.T, limit int64) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d.idle+time.Minute)
		defer cancel()
		d.began = time.Now()
		err := Disk{Limit: limit, Free: d.free, Measure: func(context.Context, int64) (workspace.Measure, error) {
			timer := time.NewTimer(d.took)
			<-timer.C
			d.looked++
			d.walking += d.took
			return workspace.Measure{Bytes: d.used()}, nil
		}}.Watch(ctx)
		if d.passed, d.why = d.used()-limit, err; !d.hidden && (err != nil) != (d.passed > 0) {
			t.Errorf("%d bytes past the limit: %v", d.passed, err)
		}
		if !d.blind {
			d.left = d.free()[0]
		}
	})
}

// TestDiskIsSeenInTime has a bottle fill its disk after it did nothing for a
// while, at every pace: what it gets past the limit is what it writes in a tick
// and in two measurements, however long it waited.
func TestDiskIsSeenInTime(t *testing.T) {
	const limit = 2 << 30
	for _, pace := range []int64{50 << 20, 300 << 20, 2 << 30, 6 << 30} {
		for _, took := range []time.Duration{0, 2 * time.Millisecond, 300 * time.Millisecond} {
			for idle := range 7 {
				d := disks{idle: time.Duration(idle) * 491 * time.Millisecond, pace: pace, took: took}
				d.watch(t, limit)
				if most := int64(float64(pace)*(diskTick+2*took).Seconds()) + diskNoise; d.passed <= 0 || d.passed > most {
					t.Errorf("%d MiB/s, measured in %v, after %v: %d MiB past the limit, more than %d", pace>>20, took, d.idle, d.passed>>20, most>>20)
				}
			}
		}
	}
}

// TestDiskIsNotFilledUnseen: what has no name is in no tree, and fills the disk
// all the same. What others fill is not for the bottle to end by.
func TestDiskIsNotFilledUnseen(t *testing.T) {
	d := disks{pace: 2 << 30, took: 20 * time.Millisecond, hidden: true, there: 30 << 30}
	d.watch(t, 10<<30)
	if d.why == nil || d.left < diskFloor/2 {
		t.Errorf("%d MiB are left: %v", d.left>>20, d.why)
	}
	d = disks{pace: 100 << 20, hidden: true, there: 8 << 30}
	d.watch(t, 10<<30)
	if d.why != nil {
		t.Errorf("others have filled the disk: %v", d.why)
	}
}

// TestDiskFollowsThePace: where a file system does not say what is free, the
// next measurement comes by how fast the last ones grew.
func TestDiskFollowsThePace(t *testing.T) {
	d := disks{pace: 100 << 20, took: time.Millisecond, blind: true}
	d.watch(t, 4<<30)
	if d.passed <= 0 || d.passed > 4<<20 {
		t.Errorf("%d MiB past the limit", d.passed>>20)
	}
}

// TestDiskIsSeldomMeasured: far from its limit a bottle costs its launcher next
// to nothing, and near it no more than half of a processor, whatever others do
// to the same file system.
func TestDiskIsSeldomMeasured(t *testing.T) {
	quiet := disks{took: 10 * time.Millisecond}
	quiet.watch(t, 20<<30)
	if quiet.looked > 31 {
		t.Errorf("a bottle that does nothing is measured %d times in a minute", quiet.looked)
	}
	busy := disks{took: 100 * time.Millisecond, others: 1 << 30}
	busy.watch(t, 1<<20)
	if busy.walking > 31*time.Second {
		t.Errorf("a bottle that does nothing is measured for %v of a minute", busy.walking)
	}
}
