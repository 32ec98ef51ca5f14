package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/workspace"
)

type startOptions struct {
	*App
	Agent         string
	CopyCwd       bool
	Yes           bool
	DryRun        bool
	Prompt        string
	RemoteControl bool
	Platform      string
	Timeout       time.Duration
	Trust         string
	Format        format
	Args          []string // for the harness
}

func newStart(app *App) *cobra.Command {
	opts := &startOptions{App: app}
	cmd := &cobra.Command{
		Use:   "start AGENT [flags] [-- HARNESS-ARGS...]",
		Short: "Start an agent in a new bottle and work with it",
		Long: `Start an agent in a new bottle and work with it. The plan is shown first, and
nothing is made before you agree to it. When the agent ends, its bottle is
removed; its work and the record of what it reached for are kept.

The exit code is the agent's own; 2 for a mistake in the command line or the
manifest; 124 when --timeout ended it; 125 when the bottle could not be
launched; 137 when it was stopped before there was an agent; 126 and 127 when the agent's program could not be run or was not
found; 130 when Ctrl-C ended it.`,
		Example: `  claude-bottle start reviewer --cwd
  claude-bottle start reviewer --cwd --yes --prompt "Review the last commit."
  claude-bottle start shell -- -c 'make test'`,
		ValidArgsFunction: app.completeAgents,
		Args:              startArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Agent, opts.Args = args[0], args[1:]
			if cmd.Flags().Changed("prompt") && opts.Prompt == "" {
				return usagef(cmd, "--prompt is empty")
			}
			if cmd.Flags().Changed("timeout") && opts.Timeout <= 0 {
				return usagef(cmd, "--timeout must be more than 0")
			}
			opts.DryRun = opts.DryRun || truthy(app.Getenv("CLAUDE_BOTTLE_DRY_RUN"))
			return runStart(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.CopyCwd, "cwd", false, "copy the working directory into the bottle's workspace")
	flags.BoolVarP(&opts.Yes, "yes", "y", false, "launch without asking (never grants trust)")
	flags.BoolVar(&opts.DryRun, "dry-run", false, "print the plan and end (or set CLAUDE_BOTTLE_DRY_RUN)")
	flags.StringVar(&opts.Prompt, "prompt", "", "run the agent once with this `text`, without a terminal, and print its answer")
	flags.BoolVar(&opts.RemoteControl, "remote-control", false, "let the agent be steered from elsewhere, if it can be")
	platformFlag(cmd, app, &opts.Platform)
	flags.DurationVar(&opts.Timeout, "timeout", 0, "end the agent after this `duration`, as 90s or 2h; its work is kept")
	flags.StringVar(&opts.Trust, "trust", "", "trust the project's manifest, this once, if this is its `sha256`")
	opts.Format.flag(cmd)
	return cmd
}

// startArgs wants one agent before "--" and lets anything follow it.
func startArgs(cmd *cobra.Command, args []string) error {
	ours := args
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		ours = args[:dash]
	}
	if len(ours) > 1 {
		err := usagef(cmd, "start takes one agent: %q is one too many", ours[1])
		err.hint = "arguments for the agent's program go after --"
		return err
	}
	return argsNamed("an agent")(cmd, ours)
}

// truthy is how a variable switches something on.
func truthy(value string) bool {
	switch value {
	case "", "0", "false", "no", "off":
		return false
	}
	return true
}

// runStart goes the way of a launch. What may refuse comes before what asks,
// and what asks before what makes anything.
func runStart(ctx context.Context, opts *startOptions) error {
	ctx, signals, release := opts.catch(ctx)
	defer release()
	h, plan, err := preparePlan(ctx, opts)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer h.cool()
	agreed, err := confirmPlan(ctx, opts, plan)
	if err != nil || !agreed {
		return interrupted(ctx, err)
	}
	if err := withoutCore(); err != nil {
		return withCode(exitLaunch, err)
	}
	secrets, err := environ.Gather(ctx, plan.Spec.Env, opts.sources(h.store.Root()))
	if err != nil {
		return interrupted(ctx, withCode(exitUsage, err))
	}
	for _, name := range bottle.TooShort(plan.Spec, secrets) {
		opts.note("claude-bottle: warning: the secret %s is too short to be looked for in what leaves", name)
	}
	secrets = secrets.Keeping(opts.keeper(h.store.Root()))
	opts.progress.Show("launching " + plan.Name)
	b, err := h.platform.Launch(ctx, plan, secrets)
	opts.progress.Done()
	if err != nil {
		return interrupted(ctx, opts.notLaunched(err))
	}
	opts.showIsolation(h, b.Run())
	return work(ctx, opts, h, plan, b, signals)
}

// notLaunched is how a launch that failed ends the command. One that was stopped
// ends as a bottle that is.
func (opts *startOptions) notLaunched(err error) error {
	var stopped *bottle.Stopped
	if !errors.As(err, &stopped) {
		return withCode(exitLaunch, err)
	}
	opts.note("claude-bottle: stopped by claude-bottle stop")
	return codeError{exitKilled, stopped.Left}
}

// preparePlan reads the manifest, makes sure that it is trusted, and resolves
// the launch into a plan. Nothing has been made when it returns.
func preparePlan(ctx context.Context, opts *startOptions) (h *host, _ bottle.Plan, err error) {
	none := bottle.Plan{}
	defer func() {
		if err != nil && h != nil {
			h.cool()
		}
	}()
	identity := opts.gitIdentity(ctx)
	h, noHost := opts.host(opts.Platform)
	if noHost == nil && !h.open {
		opts.warm(h)
	}
	m, err := opts.manifest()
	if err != nil {
		return h, none, err
	}
	if _, _, err := m.Agent(opts.Agent); err != nil {
		return h, none, withCode(exitUsage, err)
	}
	if noHost != nil {
		return nil, none, noHost
	}
	if err := opts.requireTrust(ctx, m, opts.Trust); err != nil {
		return h, none, err
	}
	unsettled := h.settle(ctx, opts.Preferred)
	if unsettled == nil {
		opts.warm(h)
	}
	spec, err := opts.resolve(ctx, m, h, identity)
	if err != nil {
		return h, none, withCode(exitUsage, err)
	}
	if !opts.DryRun {
		opts.sweep(ctx, h)
	}
	if unsettled != nil {
		return h, none, withCode(exitLaunch, unsettled)
	}
	plan, err := h.platform.Prepare(ctx, spec)
	plan.Why = h.why
	return h, plan, withCode(exitLaunch, err)
}

// warm has the platform begin, of a launch that nobody is asked about.
func (opts *startOptions) warm(h *host) {
	if opts.Yes && !opts.DryRun && h.release == nil {
		h.warm(bottle.Person(opts.UID, opts.GID, opts.Lookup))
	}
}

func (opts *startOptions) resolve(
	ctx context.Context, m *manifest.Manifest, h *host, identity func() (name, mail string),
) (bottle.Spec, error) {
	stateRoot := h.store.Root()
	home, err := opts.home()
	if err != nil {
		return bottle.Spec{}, err
	}
	flags := bottle.Flags{Once: opts.Prompt, RemoteControl: opts.RemoteControl, Args: opts.Args}
	if flags.Dir, err = opts.Dir(); err != nil {
		return bottle.Spec{}, err
	}
	if opts.CopyCwd {
		flags.Cwd = flags.Dir
		if err := workspace.Check(flags.Cwd, home, stateRoot); err != nil {
			return bottle.Spec{}, err
		}
	}
	host := bottle.Host{Home: home, StateRoot: stateRoot}
	host.UID, host.GID = bottle.Person(opts.UID, opts.GID, opts.Lookup)
	presets, unread, err := opts.presets(ctx, m, opts.Agent, h.platform)
	if err != nil {
		return bottle.Spec{}, err
	}
	host.GitName, host.GitMail = identity()
	return bottle.Resolve(bottle.Input{
		Manifest: m, Agent: opts.Agent, Flags: flags, Lookup: opts.Lookup, Host: host, Presets: presets, Unread: unread,
		Login: opts.keptLogin(stateRoot), Ask: opts.canAsk(),
	})
}

// confirmPlan shows the plan and asks. It is false when there is nothing more
// to do: a dry run, or a person who did not say yes.
func confirmPlan(ctx context.Context, opts *startOptions, plan bottle.Plan) (bool, error) {
	if err := showPlan(opts, plan); err != nil || opts.DryRun {
		return false, err
	}
	if opts.Yes {
		return true, nil
	}
	if !opts.canAsk() {
		return false, withCode(exitUsage, hint.With(errors.New("nobody agreed to this launch: there is no terminal to ask on"),
			"read the plan above, then pass --yes"))
	}
	agreed, err := opts.confirm(ctx, "launch this agent?")
	if err == nil && !agreed {
		fmt.Fprintln(opts.Err, "claude-bottle: aborted by user")
	}
	return agreed, err
}

// showPlan prints the plan for people on standard error. As JSON it is what a
// dry run is for, so it goes to standard output; before a launch that belongs
// to the harness.
func showPlan(opts *startOptions, plan bottle.Plan) error {
	if opts.Format != formatJSON {
		return plan.Print(opts.Err)
	}
	w := opts.Err
	if opts.DryRun {
		w = opts.Out
	}
	return writeJSON(w, plan.Redacted())
}
