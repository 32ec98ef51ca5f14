package bottle

import (
	"context"
	"errors"
	"fmt"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/workspace"
)

// Kept is a run that has ended, of which work, git and record are left, or one
// whose ledger is damaged.
type Kept struct {
	Info  runs.Info `json:"info"`
	Dir   string    `json:"dir"`
	Bytes int64     `json:"bytes"` // on disk, as far as it could be measured
	// Summary is zero when the run has none.
	Summary Summary `json:"summary"`
}

// ListKept finds the stopped and the damaged runs, the oldest first.
func ListKept(ctx context.Context, store *runs.Store) ([]Kept, error) {
	infos, err := store.List()
	if err != nil {
		return nil, err
	}
	var kept []Kept
	for _, info := range infos {
		if info.State != runs.Stopped && info.State != runs.Damaged {
			continue
		}
		dir := store.Dir(info.ID)
		size, _ := workspace.Usage(ctx, dir) // too much to measure is shown as what was found
		summary, _ := Summarise(store, info.ID)
		kept = append(kept, Kept{Info: info, Dir: dir, Bytes: size.Bytes, Summary: summary})
	}
	return kept, ctx.Err()
}

// Discard removes a kept run with its work and its record. A damaged one may
// have left resources, which the platforms find by their labels and which go
// first. What is gone already is success. What is elsewhere is forgotten: it
// carries labels, by which it is found should its engine answer once more.
func Discard(ctx context.Context, store *runs.Store, id runs.ID, platforms ...Platform) error {
	run, err := store.Lock(id)
	if errors.Is(err, runs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := discardable(ctx, run, platforms); err != nil {
		return errors.Join(err, run.Release())
	}
	if err := run.Discard(); err != nil {
		return errors.Join(err, run.Release())
	}
	return nil
}

// discardable makes sure that nothing of a run is left on its platform, which
// is not known for a damaged one.
func discardable(ctx context.Context, run *runs.Run, platforms []Platform) error {
	info := run.Info()
	switch {
	case info.State == runs.Damaged:
	case info.State != runs.Stopped:
		err := fmt.Errorf("remove run %s: it is %s", info.ID, info.State)
		return hint.With(err, "claude-bottle stop "+string(info.ID))
	case len(run.Resources()) == 0:
		return nil
	}
	for _, platform := range platforms {
		if info.State == runs.Damaged || platform.Name() == info.Platform {
			if err := platform.Remove(ctx, info.ID); err != nil && !errors.Is(err, ErrElsewhere) {
				return fmt.Errorf("remove run %s: %w", info.ID, err)
			}
		}
	}
	return nil
}
