package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
)

type cleanupOptions struct {
	*App
	Yes       bool
	DryRun    bool
	OlderThan time.Duration
	Format    format

	silent map[string]bool // platforms that did not answer
}

func newCleanup(app *App) *cobra.Command {
	opts := &cleanupOptions{App: app, silent: map[string]bool{}}
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove stopped runs with their work, and what crashes left",
		Long: `Remove the runs that ended, with their work and record, and bottles of yours that
no ledger knows of any more. What would go is shown first; nothing goes before
you agree. Running bottles of known runs are left alone. What earlier versions of
this program made for themselves, in an engine and in the state directory, goes
too, without a question.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.OlderThan < 0 {
				return usagef(cmd, "--older-than must not be negative")
			}
			return runCleanup(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&opts.Yes, "yes", "y", false, "remove without asking")
	flags.BoolVar(&opts.DryRun, "dry-run", false, "show what would be removed and end")
	flags.DurationVar(&opts.OlderThan, "older-than", 0, "only what ended longer ago than this `duration`, as 72h")
	opts.Format.flag(cmd)
	return cmd
}

// remains is one thing that cleanup would remove.
type remains struct {
	Run   runs.ID `json:"run"`
	Agent string  `json:"agent"`
	Name  string  `json:"name"`
	State string  `json:"state"` // "stopped", "damaged", or "no ledger"
	// Ended is when the run did, or for what has no end when it started.
	Ended time.Time `json:"ended,omitzero"`
	Bytes int64     `json:"bytes"` // on disk
	Work  string    `json:"work,omitempty"`
	// Changed says that the work may differ from what was copied in.
	Changed bool `json:"changed"`

	kept bool // the store has it
	// platforms have something of it, also of a run that has stopped: when
	// its launcher died, an engine may have been at work on something that
	// came to be after the sweep.
	platforms []bottle.Platform
}

func (r remains) remove(ctx context.Context, h *host) error {
	for _, p := range r.platforms {
		if err := p.Remove(ctx, r.Run); err != nil {
			return err
		}
	}
	if !r.kept {
		return nil
	}
	platforms := h.platforms
	if r.State == string(runs.Damaged) {
		platforms = answering(ctx, platforms)
	}
	return bottle.Discard(ctx, h.store, r.Run, platforms...)
}

// answering are the platforms that may have something of a run of which it is not
// known where it was. One that this machine does not have, or that does not run,
// keeps no such run for good: what it has carries labels, for a later cleanup.
func answering(ctx context.Context, platforms []bottle.Platform) []bottle.Platform {
	return slices.DeleteFunc(slices.Clone(platforms), func(p bottle.Platform) bool {
		r, ok := p.(ready)
		return ok && r.Ready(ctx) != nil
	})
}

func runCleanup(ctx context.Context, opts *cleanupOptions) error {
	h, err := opts.host("")
	if err != nil {
		return err
	}
	if !opts.DryRun {
		opts.sweep(ctx, h)
	}
	found, err := opts.remains(ctx, h)
	if err != nil {
		return err
	}
	if err := opts.show(found); err != nil {
		return err
	}
	if opts.DryRun {
		return opts.prune(ctx, h)
	}
	if agreed, err := opts.agree(ctx, len(found)); err != nil || !agreed {
		return err
	}
	var errs []error
	for _, r := range found {
		if err := r.remove(ctx, h); err != nil {
			errs = append(errs, err)
		}
	}
	if len(found) > 0 {
		opts.note("claude-bottle: removed %s", count(len(found)-len(errs), "run", "runs"))
	}
	return errors.Join(append(errs, opts.prune(ctx, h))...)
}

// agree asks whether n runs may go. Where there is none, nothing of the
// person's goes, and nobody is asked.
func (opts *cleanupOptions) agree(ctx context.Context, n int) (bool, error) {
	if opts.Yes || n == 0 {
		return true, nil
	}
	if !opts.canAsk() {
		return false, withCode(exitUsage, hint.With(errors.New("nothing was removed: there is no terminal to ask on"),
			"read the list above, then pass --yes"))
	}
	agreed, err := opts.confirm(ctx, "remove "+count(n, "run", "runs")+", work included?")
	if err == nil && !agreed {
		opts.note("claude-bottle: aborted by user")
	}
	return agreed, err
}

// pruner is a platform that keeps what it made for later launches, and knows
// what earlier versions of this program left of that; with dry it says what it
// would remove.
type pruner interface {
	Prune(ctx context.Context, dry bool) (removed []string, err error)
}

// prune removes what earlier versions left. None of it is a person's, and all
// of it can be made again. Nothing is asked of a platform that did not answer.
func (opts *cleanupOptions) prune(ctx context.Context, h *host) error {
	var errs []error
	said, verb := map[string]bool{}, "removed"
	if opts.DryRun {
		verb = "would remove"
	}
	for _, p := range h.platforms {
		prunes, ok := p.(pruner)
		if !ok || opts.silent[p.Name()] {
			continue
		}
		removed, err := prunes.Prune(ctx, opts.DryRun)
		for _, what := range removed {
			if !said[what] {
				opts.note("claude-bottle: %s %s of an earlier version", verb, what)
			}
			said[what] = true
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// remains finds the kept runs, and what a platform has that no ledger knows.
// A platform that does not answer is a warning: its runs' work can go all the
// same.
func (opts *cleanupOptions) remains(ctx context.Context, h *host) ([]remains, error) {
	kept, err := bottle.ListKept(ctx, h.store)
	if err != nil {
		return nil, err
	}
	found := []remains{}
	for _, k := range kept {
		found = append(found, remains{
			Run: k.Info.ID, Agent: k.Info.Agent, Name: k.Info.Name, State: string(k.Info.State),
			Ended: k.Info.Ended, Bytes: k.Bytes, Work: k.Summary.Work, Changed: k.Summary.Changed(), kept: true,
		})
	}
	for _, p := range h.platforms {
		listed, err := p.List(ctx)
		if err != nil {
			opts.silent[p.Name()] = true
			if opts.expected(ctx, h, p) {
				opts.note("warning: platform %s: %v", p.Name(), err)
			}
		}
		for _, status := range listed {
			found = addListed(h.store, found, p, status)
		}
	}
	return opts.oldEnough(found), nil
}

// expected says that a platform that did not answer should have: it is ready, it
// ran something that is still known, or the person names it. A machine that never
// had an engine is told nothing of one.
func (opts *cleanupOptions) expected(ctx context.Context, h *host, p bottle.Platform) bool {
	if p, ok := p.(ready); !ok || opts.namesEngine() || p.Ready(ctx) == nil {
		return true
	}
	infos, err := h.store.List()
	ran := func(info runs.Info) bool { return info.Platform == p.Name() || info.State == runs.Damaged }
	return err != nil || slices.ContainsFunc(infos, ran)
}

// addListed adds what a platform has, unless it belongs to a run that goes on.
func addListed(store *runs.Store, found []remains, p bottle.Platform, status bottle.Status) []remains {
	for i := range found {
		if found[i].Run == status.Run {
			found[i].platforms = append(found[i].platforms, p)
			return found
		}
	}
	if _, _, err := store.Load(status.Run); !errors.Is(err, runs.ErrNotFound) {
		return found
	}
	return append(found, remains{
		Run: status.Run, Agent: status.Agent, Name: status.Name, State: "no ledger", Ended: status.Started,
		platforms: []bottle.Platform{p},
	})
}

// oldEnough drops what --older-than keeps. What does not say its age is kept
// whenever an age is asked for.
func (opts *cleanupOptions) oldEnough(found []remains) []remains {
	if opts.OlderThan == 0 {
		return found
	}
	old := []remains{}
	for _, r := range found {
		if !r.Ended.IsZero() && opts.Now().Sub(r.Ended) > opts.OlderThan {
			old = append(old, r)
		}
	}
	return old
}

// show lists what would go.
func (opts *cleanupOptions) show(found []remains) error {
	if opts.Format == formatJSON {
		return writeJSON(opts.Out, found)
	}
	if len(found) == 0 {
		fmt.Fprintln(opts.Err, "claude-bottle: nothing to remove")
		return nil
	}
	table := term.NewTable("RUN", "NAME", "STATE", "ENDED", "SIZE", "WORK")
	for _, r := range found {
		work := "-"
		switch {
		case r.Changed:
			work = "changed, in " + r.Work
		case r.Work != "":
			work = "unchanged"
		}
		table.Row(string(r.Run), r.Name, r.State, opts.ago(r.Ended), byteSize(r.Bytes), work)
	}
	return table.Print(opts.Out, opts.style())
}

// byteSize is n with one digit behind the point, in binary units.
func byteSize(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	size, prefix := float64(n)/unit, 0
	for size >= unit && prefix < 4 {
		size, prefix = size/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTP"[prefix])
}
