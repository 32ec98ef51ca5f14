package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"claude-bottle/internal/attack"
	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
	"claude-bottle/internal/wire"
)

type tryOptions struct {
	*App
	Agent     string
	Platform  string
	Isolation string
	Trust     string
	Format    format
}

func newTry(app *App) *cobra.Command {
	opts := &tryOptions{App: app}
	cmd := &cobra.Command{
		Use:   "try [AGENT]",
		Short: "Start a bottle that attacks itself, and show what stopped it",
		Long: `Start a bottle in which nothing runs but this program, have it attack itself, and
show what it tried, what happened and what stopped it. It needs no image, no
token and no manifest, and leaves no run. With AGENT the bottle is that agent's
own, without its secrets: its image, its network, its limits.

Nothing is sent to anybody: who is attacked is this computer, by its own
addresses, and the bottle's gateway.

The exit code is 1 when anything stood open, or did not work that must.`,
		Example: `  claude-bottle try
  claude-bottle try reviewer --format json`,
		Args:              optionalArg("an agent"),
		ValidArgsFunction: app.completeAgents,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				opts.Agent = args[0]
			}
			switch changed := cmd.Flags().Changed("isolation"); {
			case changed && opts.Agent != "":
				return usagef(cmd, "--isolation is the manifest's, for an agent's bottle")
			case !slices.Contains([]bottle.Isolation{bottle.Auto, bottle.Runsc, bottle.Runc}, bottle.Isolation(opts.Isolation)):
				return usagef(cmd, "--isolation: %q is none of auto, runsc, runc", opts.Isolation)
			}
			return runTry(cmd.Context(), opts)
		},
	}
	platformFlag(cmd, app, &opts.Platform)
	cmd.Flags().StringVar(&opts.Isolation, "isolation", string(bottle.Auto), "the `kind` of boundary to the kernel, of a bottle without an agent: auto, runsc or runc")
	cmd.Flags().StringVar(&opts.Trust, "trust", "", "trust the project's manifest, this once, if this is its `sha256`")
	opts.Format.flag(cmd)
	return cmd
}

// tryLimit bounds the attack itself; each attempt has a limit of its own.
const tryLimit = 30 * time.Second

// trial is what `try` found, for programs.
type trial struct {
	Agent    string           `json:"agent,omitempty"`
	Platform string           `json:"platform"`
	Runtime  string           `json:"runtime,omitempty"`
	Attempts []attack.Attempt `json:"attempts"`
	// Open is how many did not come out as they must.
	Open int `json:"open"`
	// Isolation is what the probe found that every launch makes.
	Isolation string `json:"isolation,omitempty"`
}

func runTry(ctx context.Context, opts *tryOptions) error {
	ctx, signals, release := opts.catch(ctx)
	defer release()
	t, err := opts.trial(ctx, signals)
	if err != nil {
		return interrupted(ctx, err)
	}
	if opts.Format == formatJSON {
		err = writeJSON(opts.Out, t)
	} else {
		err = opts.printTrial(t)
	}
	if err == nil && t.Open > 0 {
		return codeError{code: exitFailure}
	}
	return err
}

// trial launches the bottle, lets it attack, and removes it without a trace.
func (opts *tryOptions) trial(ctx context.Context, signals *signals) (t trial, err error) {
	h, spec, err := opts.prepare(ctx)
	if err != nil {
		return trial{}, err
	}
	opts.sweep(ctx, h)
	target, err := opts.aim(ctx, spec)
	if err != nil {
		return trial{}, err
	}
	defer func() { _ = target.Close() }()
	if err := h.settle(ctx, opts.Preferred); err != nil {
		return trial{}, withCode(exitLaunch, err)
	}
	plan, err := h.platform.Prepare(ctx, target.spec)
	if err != nil {
		return trial{}, withCode(exitLaunch, err)
	}
	plan.Why = h.why
	decoys, err := environ.Decoys(plan.Spec.Env)
	if err != nil {
		return trial{}, err
	}
	opts.progress.Show("launching " + plan.Name)
	b, err := h.platform.Launch(ctx, plan, decoys)
	opts.progress.Done()
	if failure := (*probe.Failure)(nil); errors.As(err, &failure) {
		return opts.unproven(plan, failure, hint.Of(err)), nil
	}
	if err != nil {
		return trial{}, withCode(exitLaunch, err)
	}
	defer func() {
		signals.enter(ctx, closing)
		closed := b.Close()
		if closed == nil {
			closed = bottle.Discard(context.WithoutCancel(ctx), h.store, b.Run(), h.platforms...)
		}
		err = withClosing(err, closed)
	}()
	t = opts.trialOn(plan)
	if info, _, err := h.store.Load(b.Run()); err == nil {
		t.Isolation = info.Isolation
	}
	opts.progress.Show("attacking")
	defer opts.progress.Done()
	t.Attempts, err = target.attack(ctx, h.store, b)
	for _, a := range t.Attempts {
		if !a.OK {
			t.Open++
		}
	}
	return t, err
}

func (opts *tryOptions) trialOn(plan bottle.Plan) trial {
	t := trial{Agent: opts.Agent, Platform: plan.Platform}
	if plan.Docker != nil {
		t.Runtime = plan.Docker.Runtime
	}
	return t
}

// unproven is a trial that ended with the launch, whose own probe found what
// stands open, and undid it.
func (opts *tryOptions) unproven(plan bottle.Plan, failure *probe.Failure, advice string) trial {
	t := opts.trialOn(plan)
	for _, finding := range failure.Findings {
		t.Attempts = append(t.Attempts, attack.Attempt{Tried: finding.Kind + ": " + finding.Target, Happened: probe.Describe(finding)})
	}
	t.Open = len(t.Attempts)
	opts.note("claude-bottle: the launch was undone, since its own probe found this; %s", advice)
	return t
}

// prepare finds what is to be launched.
func (opts *tryOptions) prepare(ctx context.Context) (*host, bottle.Spec, error) {
	h, err := opts.host(opts.Platform)
	if err != nil {
		return nil, bottle.Spec{}, err
	}
	if opts.Agent == "" {
		return h, opts.bareSpec(), nil
	}
	m, err := opts.manifest()
	if err != nil {
		return nil, bottle.Spec{}, err
	}
	if _, _, err := m.Agent(opts.Agent); err != nil {
		return nil, bottle.Spec{}, withCode(exitUsage, err)
	}
	if err := opts.requireTrust(ctx, m, opts.Trust); err != nil {
		return nil, bottle.Spec{}, err
	}
	if err := h.settle(ctx, opts.Preferred); err != nil {
		return nil, bottle.Spec{}, withCode(exitLaunch, err)
	}
	spec, err := opts.specOf(ctx, m, opts.Agent, h.platform)
	if err == nil && spec.Gateway == bottle.Pipelock {
		err = withCode(exitUsage, hint.With(fmt.Errorf("the gateway of bottle %s is pipelock, and try attacks our own", spec.Bottle),
			"claude-bottle try, without an agent, attacks a bottle of its own"))
	}
	return h, spec, err
}

// bareSpec is a bottle of our program alone.
func (opts *tryOptions) bareSpec() bottle.Spec {
	spec := bottle.Spec{
		Agent: "try", Slug: "try", Bottle: "try", Harness: "command", Argv: []string{bottle.Program},
		Isolation: bottle.Isolation(opts.Isolation), Home: bottle.DefaultHome, Workspace: bottle.Workspace, Bare: true,
	}
	spec.UID, spec.GID = bottle.Person(opts.UID, opts.GID, opts.Lookup)
	return spec
}

// attack runs the attack in b.
func (t *target) attack(ctx context.Context, store *runs.Store, b bottle.Bottle) ([]attack.Attempt, error) {
	t.targets.Files = append(t.targets.Files, store.Dir(b.Run()))
	aim, err := json.Marshal(t.targets)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	var out, errs bounded
	exit, err := b.Exec(limited, wire.Start{Argv: []string{bottle.Program, "guest", "attack"}, Dir: t.spec.Workspace},
		wire.Streams{Stdin: bytes.NewReader(aim), Stdout: &out, Stderr: &errs})
	if err != nil {
		return nil, withCode(exitLaunch, fmt.Errorf("attack the bottle from inside: %w", err))
	}
	var attempts []attack.Attempt
	if exit.Code != 0 {
		return nil, withCode(exitLaunch, fmt.Errorf("attack the bottle from inside: exit code %d: %s%s", exit.Code, exit.Message, errs.Bytes()))
	}
	if err := json.Unmarshal(out.Bytes(), &attempts); err != nil || len(attempts) == 0 {
		return nil, withCode(exitLaunch, errors.New("attack the bottle from inside: its report cannot be read"))
	}
	return attempts, nil
}

// bounded keeps what a bottle says, up to a size.
type bounded struct{ bytes.Buffer }

const boundedSize = 1 << 20

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > boundedSize {
		return 0, hint.With(fmt.Errorf("the bottle said more than %s", byteSize(boundedSize)), "report it")
	}
	return b.Buffer.Write(p)
}

// printTrial is the table for people.
func (opts *tryOptions) printTrial(t trial) error {
	table := term.NewTable("TRIED", "HAPPENED", "STOPPED BY")
	attacks, musts := 0, 0
	for _, a := range t.Attempts {
		happened, by := a.Happened, a.StoppedBy
		switch {
		case a.Must:
			musts++
		default:
			attacks++
		}
		switch {
		case !a.OK && a.Must:
			happened = "BROKEN: " + happened
		case !a.OK:
			happened, by = "OPEN: "+happened, "nothing"
		case a.Must:
			by = "(must work)"
		}
		table.Row(a.Tried, happened, by)
	}
	if err := table.Print(opts.Out, opts.style()); err != nil {
		return err
	}
	on := t.Platform
	if t.Runtime != "" {
		on += ", " + t.Runtime
	}
	if t.Isolation != "" {
		opts.note("claude-bottle: the probe of every launch, before that: %s", t.Isolation)
	}
	if t.Open > 0 {
		opts.note("claude-bottle: on %s: %d of %d did not come out as they must", on, t.Open, len(t.Attempts))
		return nil
	}
	opts.note("claude-bottle: on %s: %s, none got out; %s that must work, all do", on,
		count(attacks, "attack", "attacks"), count(musts, "thing", "things"))
	return nil
}
