package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
)

type stopOptions struct {
	*App
	Runs []string
	Time time.Duration
}

func newStop(app *App) *cobra.Command {
	opts := &stopOptions{App: app}
	cmd := &cobra.Command{
		Use:   "stop RUN...",
		Short: "End running bottles; their work and record are kept",
		Long: `End running bottles, whoever launched them. Everything in them is asked to end
(SIGTERM); what has not by then is killed after --time. Their work and record are
kept. It prints the id of each run that has stopped. The command that launched a
bottle ends with the agent's exit code, 137 when that was killed or there was none
yet.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "stop needs a run")
			}
			if opts.Time < 0 {
				return usagef(cmd, "--time must not be negative")
			}
			return nil
		},
		ValidArgsFunction: app.completeRuns(running, manyArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Runs = args
			return runStop(cmd.Context(), opts)
		},
	}
	cmd.Flags().DurationVarP(&opts.Time, "time", "t", stopPatience, "how long an agent may take to end by itself, as a `duration`; 0 kills it at once")
	return cmd
}

// runStop stops every run that it can, whatever becomes of the others.
func runStop(ctx context.Context, opts *stopOptions) error {
	h, err := opts.host("")
	if err != nil {
		return err
	}
	opts.sweep(ctx, h)
	var infos []runs.Info
	for _, arg := range opts.Runs {
		info, err := h.store.Find(arg)
		if err != nil {
			return err
		}
		infos = append(infos, info)
	}
	errs := make([]error, len(infos))
	var stopping sync.WaitGroup // each has its time, and nobody waits for others'
	for i, info := range infos {
		stopping.Go(func() { errs[i] = stop(ctx, h, info, opts.Time) })
	}
	stopping.Wait()
	for i, info := range infos {
		if errs[i] != nil {
			errs[i] = fmt.Errorf("stop %s: %w", info.ID, errs[i])
			continue
		}
		fmt.Fprintln(opts.Out, info.ID)
	}
	return errors.Join(errs...)
}

// How long an agent may take to end by itself, unless --time says otherwise: as
// long as with docker stop.
const stopPatience = 10 * time.Second

// launcherPatience is how long a launcher may take to notice that its bottle
// is gone and to finish its run.
const launcherPatience = 10 * time.Second

// errStillThere is a run whose launcher goes on.
var errStillThere = errors.New("the bottle is gone, but the process that launched it has not ended")

func stop(ctx context.Context, h *host, info runs.Info, patience time.Duration) error {
	if info.State == runs.Stopped {
		return nil
	}
	platform, err := h.platformOf(info)
	if err != nil {
		return err
	}
	if err := h.store.AskToStop(info.ID); err != nil && !errors.Is(err, runs.ErrNotFound) {
		return err
	}
	if patience > 0 && ask(ctx, platform, info, patience) {
		if err := awaitLauncher(ctx, h.store, info.ID, patience); err != nil && !errors.Is(err, errStillThere) {
			return err
		}
		if now, _, err := h.store.Load(info.ID); err == nil && now.State == runs.Stopped {
			return nil
		}
	}
	return end(ctx, h.store, platform, info.ID)
}

// end ends a bottle by force and waits for its launcher. One that is launching
// may make more meanwhile, which is ended too.
func end(ctx context.Context, store *runs.Store, platform bottle.Platform, id runs.ID) error {
	var err error
	for began := time.Now(); time.Since(began) < launcherPatience; {
		if err := bottle.End(ctx, store, platform, id); err != nil {
			return err
		}
		if err = awaitLauncher(ctx, store, id, launcherPatience/10); !errors.Is(err, errStillThere) {
			return err
		}
	}
	return hint.With(err, "it may be suspended: continue it (fg in its terminal), or end it; then claude-bottle ps tells the rest")
}

// ask has what runs in a bottle asked to end, and says whether it could be: a
// bottle that is not ready, that is full, or whose launcher is gone is ended at
// once.
func ask(ctx context.Context, platform bottle.Platform, info runs.Info, patience time.Duration) bool {
	if info.State != runs.Running {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b, err := platform.Open(ctx, info.ID)
	return err == nil && bottle.Terminate(ctx, b) == nil
}

// awaitLauncher waits until nobody holds the run any more.
func awaitLauncher(ctx context.Context, store *runs.Store, id runs.ID, patience time.Duration) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	probe := time.NewTicker(20 * time.Millisecond)
	defer probe.Stop()
	for store.Alive(id) {
		select {
		case <-probe.C:
		case <-deadline.C:
			return errStillThere
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
