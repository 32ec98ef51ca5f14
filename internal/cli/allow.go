package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/term"
	"claude-bottle/internal/wire"
)

type allowOptions struct {
	*App
	Run      string
	Rule     policy.Rule
	For      time.Duration
	Manifest bool
	Trust    string
}

func newAllow(app *App) *cobra.Command {
	opts := &allowOptions{App: app}
	cmd := &cobra.Command{
		Use:   "allow RUN RULE",
		Short: "Change what a running bottle may reach",
		Long: `Add a rule to what a running bottle may reach, at once, until the run ends or for
the time given with --for. Then what it let through is cut. The record says who
added what, and when.

RULE is one of
  HOST, *.HOST, HOST:PORT
  [METHOD[,METHOD]] https://HOST/PATH     * is one part of a path, ** any
  tcp://HOST:PORT                         whatever is said

With --manifest, and no RULE, the manifests of the directory in which the run was
started and of your home are read again, and what they say of its agent takes the
place of what the bottle was started with. Connections that are allowed no longer
are cut.`,
		Example: `  claude-bottle allow claude-bottle-reviewer docs.example.com --for 10m
  claude-bottle allow claude-bottle-reviewer 'GET,HEAD https://api.example.com/v1/**'`,
		ValidArgsFunction: app.completeRefused,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opts.read(cmd, args); err != nil {
				return err
			}
			return runAllow(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&opts.For, "for", 0, "take the rule back after this `duration`, as 10m")
	completeFlag(cmd, "for", "10m", "1h", "8h")
	flags.BoolVar(&opts.Manifest, "manifest", false, "read the manifest again")
	flags.StringVar(&opts.Trust, "trust", "", "trust the project's manifest, this once, if this is its `sha256`")
	return cmd
}

// read checks the arguments.
func (opts *allowOptions) read(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usagef(cmd, "allow needs a run")
	case opts.Manifest && len(args) > 1:
		return usagef(cmd, "allow takes a rule or --manifest, not both")
	case opts.Manifest && cmd.Flags().Changed("for"):
		return usagef(cmd, "--for is for a rule, not for a manifest")
	case !opts.Manifest && len(args) < 2:
		return usagef(cmd, "allow needs a run and a rule")
	case cmd.Flags().Changed("for") && opts.For <= 0:
		return usagef(cmd, "--for must be more than 0")
	}
	opts.Run = args[0]
	if opts.Manifest {
		return nil
	}
	var err error
	if opts.Rule, err = policy.ParseRule(strings.Join(args[1:], " ")); err != nil {
		return usagef(cmd, "%w", err)
	}
	return nil
}

func runAllow(ctx context.Context, opts *allowOptions) error {
	c, err := opts.controlled(ctx, opts.Run)
	if err != nil {
		return err
	}
	opts.moveTo(c.info)
	replace := wire.Replace{}
	if opts.Manifest {
		if replace, err = opts.fromManifest(ctx, c); err != nil {
			return err
		}
	}
	client, err := c.conversation(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if opts.Manifest {
		changed, err := client.Replace(ctx, replace)
		if err != nil {
			return err
		}
		opts.note("claude-bottle: %s has the policy of the manifest as it is now%s", c.info.Name, cut(changed))
		return nil
	}
	changed, err := client.Allow(ctx, wire.Allow{Rule: opts.Rule, For: opts.For, Who: opts.who()})
	if err != nil {
		return err
	}
	span := "until it ends"
	if opts.For > 0 {
		span = "for " + typed(opts.For)
	}
	opts.note("claude-bottle: %s may reach %s %s%s", c.info.Name, term.Escape(opts.Rule.Text()), span, cut(changed))
	return nil
}

func cut(changed wire.Changed) string {
	if changed.Cut == 0 {
		return ""
	}
	return fmt.Sprintf("; %s cut", count(changed.Cut, "connection was", "connections were"))
}

// fromManifest is the policy that the manifests give the run's agent now. A
// project's must be trusted, as at a launch.
func (opts *allowOptions) fromManifest(ctx context.Context, c controlled) (wire.Replace, error) {
	m, err := opts.manifest()
	if err != nil {
		return wire.Replace{}, err
	}
	_, b, err := m.Agent(c.info.Agent)
	if err != nil {
		return wire.Replace{}, withCode(exitUsage, err)
	}
	if b.Name != c.info.Bottle {
		return wire.Replace{}, withCode(exitUsage, errors.New("the manifest gives the agent another bottle than it was started in"))
	}
	if err := opts.requireTrust(ctx, m, opts.Trust); err != nil {
		return wire.Replace{}, err
	}
	spec, err := opts.specOf(ctx, m, c.info.Agent, c.platform)
	if err != nil {
		return wire.Replace{}, err
	}
	return wire.Replace{Policy: spec.Egress, Who: opts.who(), Why: "the manifest was read again"}, nil
}
