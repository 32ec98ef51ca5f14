package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
)

type stopOptions struct {
	*App
	Runs []string
}

func newStop(app *App) *cobra.Command {
	opts := &stopOptions{App: app}
	return &cobra.Command{
		Use:   "stop RUN...",
		Short: "End running bottles; their work and record are kept",
		Long: `End running bottles, whoever launched them. Their work and record are kept. It
prints the id of each run that has stopped.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "stop needs a run")
			}
			return nil
		},
		ValidArgsFunction: app.completeRuns(running, manyArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Runs = args
			return runStop(cmd.Context(), opts)
		},
	}
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
	var errs []error
	for _, info := range infos {
		if err := stop(ctx, h, info); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", info.ID, err))
			continue
		}
		fmt.Fprintln(opts.Out, info.ID)
	}
	return errors.Join(errs...)
}

// launcherPatience is how long a launcher may take to notice that its bottle
// is gone and to finish its run.
const launcherPatience = 10 * time.Second

func stop(ctx context.Context, h *host, info runs.Info) error {
	if info.State == runs.Stopped {
		return nil
	}
	platform, err := h.platformOf(info)
	if err != nil {
		return err
	}
	if err := bottle.End(ctx, h.store, platform, info.ID); err != nil {
		return err
	}
	deadline := time.NewTimer(launcherPatience)
	defer deadline.Stop()
	probe := time.NewTicker(20 * time.Millisecond)
	defer probe.Stop()
	for h.store.Alive(info.ID) {
		select {
		case <-probe.C:
		case <-deadline.C:
			return errors.New("the bottle is gone, but the process that launched it has not ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
