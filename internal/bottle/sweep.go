package bottle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

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

// Sweep ends the orphans of the store: runs that are not stopped and not
// detached, and whose lock nobody holds. Their resources on the given
// platforms are removed; runs of other platforms are left for a command that
// knows those. Any number of sweeps and launches may go on at once, and a
// sweep that dies is finished by the next. The error names every orphan that
// could not be removed; the others were.
func Sweep(ctx context.Context, store *runs.Store, platforms ...Platform) (Swept, error) {
	infos, err := store.List()
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
		if platform == nil || !maybeOrphan(info) {
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

// maybeOrphan leaves a damaged ledger alone: nothing is swept on a guess, and
// what it stood for is found by its labels (see Discard).
func maybeOrphan(info runs.Info) bool {
	return (info.State == runs.Launching || info.State == runs.Running) && !info.Detached
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
	if !maybeOrphan(run.Info()) {
		return untouched, run.Release() // another sweep was faster
	}
	return end(ctx, run, platform)
}

// end removes what a run, whose lock is held, left on its platform, then ends
// it and gives up the lock. Every step may find itself done already.
func end(ctx context.Context, run *runs.Run, platform Platform) (outcome, error) {
	limited, cancel := context.WithTimeout(ctx, CloseDeadline)
	defer cancel()
	err := failpoint.Hit("bottle.sweep.remove")
	if err == nil {
		err = platform.Remove(limited, run.ID())
	}
	if err != nil {
		return untouched, errors.Join(err, run.Release())
	}
	if run.Info().State == runs.Launching && !worked(run) {
		if err := failpoint.Hit("bottle.sweep.discard"); err != nil {
			return untouched, errors.Join(err, run.Release())
		}
		if err := run.Discard(); err != nil {
			return untouched, errors.Join(err, run.Release())
		}
		return discarded, nil
	}
	if err := Finish(limited, run); err != nil {
		return untouched, err
	}
	return stopped, nil
}

// End ends a run that this process did not launch: it removes what the run has
// on the platform and, when no launcher holds the run any more, finishes it. A
// live launcher sees its bottle lost and finishes the run itself.
func End(ctx context.Context, store *runs.Store, platform Platform, id runs.ID) error {
	if err := platform.Remove(ctx, id); err != nil {
		return err
	}
	run, err := store.Lock(id)
	if errors.Is(err, runs.ErrLocked) || errors.Is(err, runs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if state := run.Info().State; state == runs.Stopped || state == runs.Damaged {
		return run.Release()
	}
	_, err = end(ctx, run, platform)
	return err
}

// worked says whether work was copied whole.
func worked(run *runs.Run) bool {
	_, err := os.Lstat(run.Path(snapshotFile))
	return err == nil
}
