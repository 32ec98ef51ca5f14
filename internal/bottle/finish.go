package bottle

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/tree"
	"claude-bottle/internal/workspace"
)

// summaryFile is what became of the work, for people.
const summaryFile = "summary.json"

// Summary says what a run left behind.
type Summary struct {
	Run      runs.ID `json:"run"`
	Work     string  `json:"work"` // the directory
	Added    int     `json:"added"`
	Modified int     `json:"modified"`
	Deleted  int     `json:"deleted"`
	// Unknown says why not all of the work could be compared; empty when it
	// was.
	Unknown string `json:"unknown,omitempty"`
}

// Changed says whether the work may differ from what was copied in.
func (s Summary) Changed() bool {
	return s.Unknown != "" || s.Added+s.Modified+s.Deleted > 0
}

// Line is the last line of a run.
func (s Summary) Line() string {
	switch {
	case s.Unknown != "":
		return fmt.Sprintf("work: in %s, not all of it compared (%s); do not run git there: the agent wrote it",
			printable(s.Work), printable(s.Unknown))
	case !s.Changed():
		return fmt.Sprintf("work: nothing changed; the copy is in %s", printable(s.Work))
	}
	var parts []string
	for _, part := range []struct {
		count int
		what  string
	}{{s.Added, "added"}, {s.Modified, "modified"}, {s.Deleted, "deleted"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.what))
		}
	}
	return fmt.Sprintf("work: %s in %s; do not run git there: the agent wrote it", strings.Join(parts, ", "), printable(s.Work))
}

// finish ends a run whose resources are all gone: it removes home, etc, nonce
// and handover, so that work, git and record are left with what the probe found,
// writes the Summary, marks the run stopped and releases its lock. When it fails the run stays as it is,
// and the next Sweep goes on. code is how its command ended, nil where that is
// not known. What is gone leaves the ledger with the same write.
func finish(ctx context.Context, run *runs.Run, code *int, gone []runs.Resource) error {
	defer failpoint.Span("bottle.finish")()
	err := tidy(ctx, run)
	if err == nil {
		err = run.Conclude(func(info *runs.Info) {
			info.State, info.Ended = runs.Stopped, time.Now().UTC()
			if code != nil {
				info.ExitCode = code
			}
		}, gone...)
	}
	return errors.Join(err, run.Release())
}

// tidy removes what no stopped run keeps, and says what became of the work.
func tidy(ctx context.Context, run *runs.Run) error {
	// Space first: on a full disk neither summary nor ledger could be written.
	for _, name := range []string{HomeDir, EtcDir, NonceFile, HandoverDir} {
		if err := failpoint.Hit("bottle.finish." + name); err != nil {
			return err
		}
		if err := remove(ctx, run, name); err != nil {
			return fmt.Errorf("remove %s of run %s: %w", name, run.ID(), err)
		}
	}
	if err := failpoint.Hit("bottle.finish.summary"); err != nil {
		return err
	}
	if err := summarise(ctx, run); err != nil {
		return err
	}
	return failpoint.Hit("bottle.finish.stopped")
}

// remove removes a part of the run's directory that a bottle could write.
func remove(ctx context.Context, run *runs.Run, name string) error {
	dir, err := tree.Open(run.Dir())
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }()
	return tree.Remove(ctx, dir, name)
}

// summarise compares work with its snapshot and keeps the result. What a
// hostile tree does to the comparison never keeps a run from ending.
func summarise(ctx context.Context, run *runs.Run) error {
	summary := Summary{Run: run.ID(), Work: run.Path(WorkDir)}
	snapshot, err := workspace.LoadSnapshot(run.Path(snapshotFile))
	if err == nil {
		var changes workspace.Changes
		changes, err = snapshot.Compare(ctx, summary.Work)
		summary.Added, summary.Modified, summary.Deleted = changes.Added, changes.Modified, changes.Deleted
		if err == nil && changes.Missed > 0 {
			err = fmt.Errorf("%d files could not be looked at", changes.Missed)
		}
	}
	if err != nil {
		summary.Unknown = err.Error()
	}
	return writeJSON(run.Path(summaryFile), summary)
}

// Summarise reads what a stopped run left behind.
func Summarise(store *runs.Store, id runs.ID) (Summary, error) {
	var summary Summary
	err := readJSON(filepath.Join(store.Dir(id), summaryFile), &summary)
	if err != nil {
		return Summary{}, fmt.Errorf("read the summary of run %s: %w", id, err)
	}
	return summary, nil
}
