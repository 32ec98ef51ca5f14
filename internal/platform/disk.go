package platform

import (
	"context"
	"fmt"
	"time"

	"claude-bottle/internal/workspace"
)

const (
	// diskPause and diskShare say how often a bottle's disk is measured: that far
	// apart, and so that measuring takes a tenth of the time at most, however
	// large the trees are.
	diskPause = 2 * time.Second
	diskShare = 10
	// diskTick is how often its file systems are asked what is free, near the
	// limit: one call, which walks through nothing.
	diskTick = 10 * time.Millisecond
	// diskFastest is more bytes than a bottle writes in a second: further away
	// from the limit than that nothing is asked.
	diskFastest = 8 << 30
	// diskNoise is what others write to the same file systems anyway.
	diskNoise = 1 << 20
	// diskFloor is what stays free of a file system where more has vanished than
	// the bottle may use: a file without a name is in no tree that is measured.
	diskFloor = 1 << 30
	// diskBlind is how many measurements in a row may leave something out. A
	// test suite makes a directory that nobody can read for a moment; one that
	// stays so hides what is in it.
	diskBlind = 5
)

// Disk is a bottle's use of the disk, held to a limit that neither the kernel
// nor an engine enforces. It is passed by what is written in a diskTick, in one
// measurement, and until the bottle has ended (TestDiskIsSeenInTime).
type Disk struct {
	Limit int64 // bytes
	// Measure says what is used now. Once that is more than most it need not go
	// on.
	Measure func(ctx context.Context, most int64) (workspace.Measure, error)
	// Free is what is free on each of the file systems that the bottle writes to.
	// Others write there too: what vanishes says when to measure, and no more.
	Free func() []int64
}

// Watch measures until ctx ends, and returns why the bottle must be stopped: it
// uses more than its limit, or keeps what it uses from being measured. It is nil
// when ctx ended.
func (d Disk) Watch(ctx context.Context) error {
	first := sight{free: d.Free()}
	for blind, last := 0, first; ; {
		began, free := time.Now(), d.Free()
		if d.full(first, free) {
			return fmt.Errorf("the bottle was stopped: its disk is nearly full, and more than its limit of %d bytes has gone from there", d.Limit)
		}
		used, err := d.Measure(ctx, d.Limit)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil: // a tree that nobody can measure is one that was made to be so
			return fmt.Errorf("the bottle was stopped: its disk use cannot be measured: %w", err)
		case used.Bytes > d.Limit:
			return fmt.Errorf("the bottle was stopped: it used %d bytes of disk, its limit is %d", used.Bytes, d.Limit)
		case used.Faults == 0:
			blind = 0
		default:
			if blind++; blind >= diskBlind {
				return fmt.Errorf("the bottle was stopped: its disk use cannot be measured: %d directories or files deny themselves", used.Faults)
			}
		}
		last = last.then(sight{began: began, took: time.Since(began), used: used.Bytes, room: d.Limit - used.Bytes, free: free})
		if !d.wait(ctx, first, last) {
			return nil
		}
	}
}

// full says whether a file system has next to nothing left, by more than the
// bottle may use.
func (d Disk) full(first sight, free []int64) bool {
	for i := range min(len(free), len(first.free)) {
		if free[i] < diskFloor && first.free[i]-free[i] > d.Limit {
			return true
		}
	}
	return false
}

// sight is what one measurement saw.
type sight struct {
	began      time.Time
	took       time.Duration
	used, room int64
	free       []int64
	growth     int64 // bytes a second since the one before
}

// then is the next one, with how fast it grew from s to there.
func (s sight) then(next sight) sight {
	if between := next.began.Sub(s.began); !s.began.IsZero() && between > 0 {
		next.growth = int64(float64(next.used-s.used) / between.Seconds())
	}
	return next
}

// wait waits until it is time to measure again: diskPause after the last, half
// of the way to the limit at the pace that it goes, when half of the room has
// vanished from the file systems, or when one of those is full. The first of these alone bounds what measuring
// may take of a processor to a tenth, the others to a half. It is false when ctx
// ended.
func (d Disk) wait(ctx context.Context, first, last sight) bool {
	earliest := last.began.Add(2 * last.took)
	due := last.began.Add(last.took + max(diskPause, diskShare*last.took))
	if last.growth > 0 {
		due = earlier(due, later(last.began.Add(atPace(last.room/2, last.growth)), earliest))
	}
	for {
		free := d.Free()
		if d.full(first, free) {
			return true
		}
		gone := last.gone(free)
		if now := time.Now(); !now.Before(due) || gone > max(last.room/2, diskNoise) && !now.Before(earliest) {
			return true
		}
		far := last.room - gone
		for _, left := range free {
			far = min(far, left-diskFloor)
		}
		timer := time.NewTimer(max(min(atPace(far, diskFastest), time.Until(due)), diskTick))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// gone is how much less is free than was.
func (s sight) gone(free []int64) int64 {
	var gone int64
	for i := range min(len(free), len(s.free)) {
		gone += max(s.free[i]-free[i], 0)
	}
	return gone
}

func atPace(bytes, aSecond int64) time.Duration {
	return time.Duration(float64(bytes) / float64(aSecond) * float64(time.Second))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
