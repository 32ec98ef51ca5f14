package bottle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/runs"
)

// sweepers is how many orphans are removed at once.
const sweepers = 8

// Swept says what Sweep did.
type Swept struct {
	// Stopped are orphans whose work and record are kept.
	Stopped []runs.Info
	// Discarded are launches that died before any work was in them.
	Discarded []runs.Info
}

// Sweep ends the orphans of the store: runs that are launching or running, and
// whose lock nobody holds. Their resources on the given platforms are removed;
// runs of other platforms are left for a command that knows those. Any number of
// sweeps and launches may go on at once, and a sweep that dies is finished by the
// next. The error names every orphan that could not be removed; the others were.
func Sweep(ctx context.Context, store *runs.Store, platforms ...Platform) (Swept, error) {
	infos, err := store.Unsettled()
	if err != nil {
		return Swept{}, err
	}
	var mu sync.Mutex // guards swept and errs
	var swept Swept
	errs := []error{store.Tidy(ctx)}
	var group errgroup.Group
	group.SetLimit(sweepers)
	for _, info := range infos {
		platform := platformOf(info, platforms)
		candidate := maybeOrphan(info) || maybeLate(info) && hasResources(store, info.ID)
		if platform == nil || !candidate {
			continue
		}
		group.Go(func() error {
			done, err := sweepOne(ctx, store, platform, info.ID)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("sweep run %s (%s): %w", info.ID, info.Name, err))
			}
			switch done {
			case stopped:
				swept.Stopped = append(swept.Stopped, info)
			case discarded:
				swept.Discarded = append(swept.Discarded, info)
			case untouched:
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	byID := func(a, b runs.Info) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortFunc(swept.Stopped, byID)
	slices.SortFunc(swept.Discarded, byID)
	return swept, errors.Join(errs...)
}

type outcome int

const (
	untouched outcome = iota
	stopped
	discarded
)

func platformOf(info runs.Info, platforms []Platform) Platform {
	i := slices.IndexFunc(platforms, func(p Platform) bool { return p.Name() == info.Platform })
	if i < 0 {
		return nil
	}
	return platforms[i]
}

// hasResources looks without the lock.
func hasResources(store *runs.Store, id runs.ID) bool {
	_, resources, err := store.Load(id)
	return err == nil && len(resources) > 0
}

// maybeOrphan leaves a damaged ledger alone: nothing is swept on a guess, and
// what it stood for is found by its labels (see Discard).
func maybeOrphan(info runs.Info) bool {
	return info.State == runs.Launching || info.State == runs.Running
}

// sweepOne ends one run if it is still an orphan once its lock is held.
func sweepOne(ctx context.Context, store *runs.Store, platform Platform, id runs.ID) (outcome, error) {
	run, err := store.Lock(id)
	if errors.Is(err, runs.ErrLocked) || errors.Is(err, runs.ErrNotFound) {
		return untouched, nil // alive, or another sweep's; or gone
	}
	if err != nil {
		return untouched, err
	}
	done := untouched
	switch info := run.Info(); {
	case maybeOrphan(info):
		done, err = end(ctx, run, platform)
	case maybeLate(info):
		err = lookAgain(ctx, run, platform)
	}
	return done, errors.Join(err, run.Release())
}

// end removes what a run, whose lock is held, left on its platform, then ends
// it. Every step may find itself done already. What is elsewhere stays in the
// ledger, for when it can be reached again: the run ends, with ErrElsewhere.
func end(ctx context.Context, run *runs.Run, platform Platform) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, CloseDeadline)
	defer cancel()
	if err := failpoint.Hit("bottle.sweep.remove"); err != nil {
		return untouched, err
	}
	left := platform.Remove(ctx, run.ID())
	if left != nil && !errors.Is(left, ErrElsewhere) {
		return untouched, left
	}
	launching := run.Info().State == runs.Launching
	if launching && !worked(run) && left == nil {
		return discard(run)
	}
	if !launching && left == nil {
		// All that there ever was is gone; of a launch, lookAgain forgets it.
		if err := run.Forget(run.Resources()...); err != nil {
			return untouched, err
		}
	}
	if err := finish(ctx, run, nil, nil); err != nil {
		return untouched, errors.Join(left, err)
	}
	return stopped, left
}

// discard removes a run that has no work. When it recorded resources, the
// ledger stays until no call of its dead launcher can be under way any more.
func discard(run *runs.Run) (outcome, error) {
	if err := failpoint.Hit("bottle.sweep.discard"); err != nil {
		return untouched, err
	}
	info := run.Info()
	switch {
	case len(run.Resources()) == 0, settled(info):
		if err := run.Discard(); err != nil {
			return untouched, err
		}
		return discarded, nil
	case info.Ended.IsZero(), ahead(info):
		return untouched, endsNow(run)
	}
	return untouched, nil
}

func endsNow(run *runs.Run) error {
	return run.Update(func(info *runs.Info) { info.Ended = time.Now().UTC() })
}

// settle is how long after the end of a launcher an engine may still carry out
// what it was asked to: a launcher that is killed takes no call back.
const settle = time.Minute

func settled(info runs.Info) bool { return !info.Ended.IsZero() && time.Since(info.Ended) > settle }

// ahead says that a run ended in the future: the clock was set back since then, and
// the time to wait begins anew.
func ahead(info runs.Info) bool { return info.Ended.After(time.Now()) }

// maybeLate says that a stopped run may have died while it was launched, so
// that a resource may appear after it was removed. Runs that ended well have
// an exit code.
func maybeLate(info runs.Info) bool { return info.State == runs.Stopped && info.ExitCode == nil }

// lookAgain removes what appeared late, and forgets it when nothing can come
// any more.
func lookAgain(ctx context.Context, run *runs.Run, platform Platform) error {
	if len(run.Resources()) == 0 {
		return nil
	}
	err := platform.Remove(ctx, run.ID())
	if err == nil && ahead(run.Info()) {
		err = endsNow(run)
	}
	if err != nil || !settled(run.Info()) {
		return err
	}
	return run.Forget(run.Resources()...)
}

// End ends a run that this process did not launch: it removes what the run has
// on the platform and, when no launcher holds the run any more, finishes it. A
// live launcher sees its bottle lost and finishes the run itself.
func End(ctx context.Context, store *runs.Store, platform Platform, id runs.ID) error {
	left := platform.Remove(ctx, id)
	if left != nil && !errors.Is(left, ErrElsewhere) {
		return left
	}
	run, err := store.Lock(id)
	if errors.Is(err, runs.ErrLocked) || errors.Is(err, runs.ErrNotFound) {
		return left
	}
	if err != nil {
		return err
	}
	if state := run.Info().State; state == runs.Launching || state == runs.Running {
		_, left = end(ctx, run, platform)
	}
	return errors.Join(left, run.Release())
}

// worked says whether work was copied whole.
func worked(run *runs.Run) bool {
	_, err := os.Lstat(run.Path(snapshotFile))
	return err == nil
}
