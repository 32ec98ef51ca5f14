package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

type execOptions struct {
	*App
	Run        string
	NoTerminal bool
	Dir        string
	Argv       []string
}

func newExec(app *App) *cobra.Command {
	opts := &execOptions{App: app}
	cmd := &cobra.Command{
		Use:   "exec [flags] RUN [--] COMMAND [ARGS...]",
		Short: "Run a command in a running bottle",
		Long: `Run a command in a running bottle, beside its agent and as the agent's user.
It has a terminal when standard input and output are one. It gets the bottle's
environment without the secrets, which only the agent's own program has.

The exit code is the command's own; 126 when it could not be run, 127 when it
was not found.`,
		Example: `  claude-bottle exec claude-bottle-reviewer bash
  claude-bottle exec claude-bottle-reviewer -- git log --oneline`,
		ValidArgsFunction:     app.completeRuns(running, oneArg),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && args[1] == "--" {
				args = append(args[:1:1], args[2:]...)
			}
			if len(args) == 0 {
				return usagef(cmd, "exec needs a run and a command")
			}
			if len(args) == 1 {
				return usagef(cmd, "exec needs a command to run in %s", args[0])
			}
			opts.Run, opts.Argv = args[0], args[1:]
			return runExec(cmd.Context(), opts)
		},
	}
	// What follows the run is the command's, flags included.
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().BoolVarP(&opts.NoTerminal, "no-tty", "T", false, "give the command no terminal")
	cmd.Flags().StringVarP(&opts.Dir, "workdir", "w", "", "run it in this `directory` of the bottle")
	return cmd
}

func runExec(ctx context.Context, opts *execOptions) error {
	h, info, err := opts.find(ctx, opts.Run)
	if err != nil {
		return err
	}
	if info.State != runs.Running {
		return hint.With(fmt.Errorf("run %s is %s, not running", info.ID, info.State), "claude-bottle ps lists those that are")
	}
	platform, err := h.platformOf(info)
	if err != nil {
		return err
	}
	ctx, signals, release := opts.catch(ctx)
	defer release()
	signals.enter(ctx, serving)
	// The bottle is not closed: that would end it.
	b, err := platform.Open(ctx, info.ID)
	if err != nil {
		return interrupted(ctx, err)
	}
	signals.enter(ctx, visiting)
	exit, err := opts.attach(ctx, b, wire.Start{Argv: opts.Argv, Dir: opts.Dir}, attachment{
		terminal: !opts.NoTerminal && opts.terminals(),
		input:    true,
		signals:  signals.Harness,
	})
	if err != nil && ctx.Err() == nil && h.store.AskedToStop(info.ID) {
		opts.note("claude-bottle: stopped by claude-bottle stop")
		return codeError{code: exitKilled}
	}
	if err != nil {
		return interrupted(ctx, withCode(exitLaunch, err))
	}
	return exitOf(opts.Argv, exit)
}
