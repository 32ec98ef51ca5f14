package cli

import (
	"context"
	"errors"
	"fmt"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
	"claude-bottle/internal/wire"
)

// errTimeout is what --timeout ends the harness with.
var errTimeout = errors.New("the time that --timeout gave is over")

// work runs the harness in b to its end, closes b whatever happened, and says
// what became of the work. The error carries the code to exit with.
func work(ctx context.Context, opts *startOptions, h *host, plan bottle.Plan, b bottle.Bottle, signals *signals) (err error) {
	defer func() {
		signals.enter(ctx, closing)
		if b, ok := b.(interface{ NoteExit(code int) }); ok {
			b.NoteExit(codeOf(err))
		}
		if opts.renewing != nil && opts.renewing() { // which may take a while, and is waited for
			opts.note("claude-bottle: waiting for the login to be renewed: who leaves now has to log in again")
		}
		closed := b.Close()
		finish(opts, h, b.Run(), codeOf(err))
		if plan.Spec.Canary {
			sayDecoy(opts.Err, h.recordOf(b.Run()))
		}
		if ctx.Err() == nil && !plan.Spec.Once {
			signals.enter(ctx, asking)
			opts.offerRefused(ctx, h, b.Run(), plan.Spec.Bottle)
		}
		err = withClosing(err, closed)
	}()
	if ctx.Err() != nil {
		return interrupted(ctx, ctx.Err())
	}
	signals.enter(ctx, working)
	limited := ctx // not ctx itself: closing asks whether a signal ended that
	if opts.Timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, opts.Timeout, errTimeout)
		defer cancel()
	}
	terminal := !plan.Spec.Once && opts.terminals()
	exit, err := opts.attach(limited, b, wire.Start{Argv: plan.Spec.Argv, Dir: plan.Spec.Workspace, Secrets: true}, attachment{
		terminal: terminal,
		// A person at a terminal who gave the whole prompt has no more to
		// say, and would be waited for.
		input:   terminal || !plan.Spec.Once || !term.IsTerminal(opts.In),
		signals: signals.Harness,
	})
	if errors.Is(context.Cause(limited), errTimeout) {
		return withCode(exitTimeout, fmt.Errorf("the agent was ended after %s: %w", opts.Timeout, errTimeout))
	}
	if stopped := ctx.Err() == nil && h.store.AskedToStop(b.Run()); stopped {
		opts.note("claude-bottle: stopped by claude-bottle stop")
		if err != nil {
			return codeError{code: exitKilled}
		}
	}
	if err != nil {
		return interrupted(ctx, withCode(exitLaunch, fmt.Errorf("the bottle was lost while the agent worked: %w", err)))
	}
	return exitOf(plan.Spec.Argv, exit)
}

// withClosing adds to how the run ended that its bottle could not be closed.
// That makes a failure of a success; a code that there is stays.
func withClosing(ended, closed error) error {
	if closed == nil {
		return ended
	}
	closed = fmt.Errorf("close the bottle: %w", closed)
	var result codeError
	switch {
	case ended == nil:
		return closed
	case errors.As(ended, &result) && result.err == nil:
		return withCode(result.code, closed)
	}
	return withCode(codeOf(ended), errors.Join(ended, closed))
}

// exitOf is how a process that ran inside ends the command: with its own
// code, without a word, unless it could not be run at all.
func exitOf(argv []string, exit wire.Exit) error {
	switch {
	case exit.Message != "":
		return withCode(exit.Code, fmt.Errorf("run %s in the bottle: %s", term.Escape(argv[0]), term.Escape(exit.Message)))
	case exit.Code != 0:
		return codeError{code: exit.Code}
	}
	return nil
}

// ended is a run's last line, for programs.
type ended struct {
	bottle.Summary
	ExitCode int `json:"exitCode"`
}

// finish keeps the code with the run, and says in one line what changed and
// where it is. A run that could not be closed is still for Sweep to finish.
func finish(opts *startOptions, h *host, id runs.ID, code int) {
	run, err := h.store.Lock(id)
	if err != nil {
		return
	}
	defer func() { _ = run.Release() }()
	if run.Info().State != runs.Stopped {
		return
	}
	if noted := run.Info().ExitCode; noted == nil || *noted != code {
		if err := run.Update(func(info *runs.Info) { info.ExitCode = &code }); err != nil {
			opts.note("warning: %v", err)
		}
	}
	summary, err := bottle.Summarise(h.store, id)
	if err != nil {
		opts.note("warning: %v", err)
		return
	}
	if opts.Format == formatJSON {
		// Whoever reads it finds what standard error is full of anyway.
		_ = term.JSON(opts.Err, ended{summary, code}, "")
		return
	}
	opts.note("claude-bottle: run %s ended (%d); %s", id, code, summary.Line())
}
