package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/term"
)

type infoOptions struct {
	*App
	Agent  string
	Format format
}

func newInfo(app *App) *cobra.Command {
	opts := &infoOptions{App: app}
	cmd := &cobra.Command{
		Use:   "info AGENT",
		Short: "Show what an agent's bottle would be",
		Long: `Show an agent as the manifest describes it: its program, its bottle, what that may
reach and what is in its environment, by name. A platform is asked only where an
image of it says the hosts of presets; start --dry-run shows the whole plan of a
launch.`,
		Args:              argsNamed("an agent"),
		ValidArgsFunction: app.completeAgents,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Agent = args[0]
			return runInfo(cmd.Context(), opts)
		},
	}
	opts.Format.flag(cmd)
	return cmd
}

func runInfo(ctx context.Context, opts *infoOptions) error {
	m, err := opts.manifest()
	if err != nil {
		return err
	}
	spec, err := opts.specOf(ctx, m, opts.Agent, opts.imagedFor(ctx, m, opts.Agent))
	if err != nil {
		return err
	}
	if opts.Format == formatJSON {
		return writeJSON(opts.Out, bottle.Plan{Spec: spec}.Redacted().Spec)
	}
	sheet := term.NewTable()
	list := func(label string, items []string) {
		if len(items) == 0 {
			items = []string{"(none)"}
		}
		for _, item := range items {
			sheet.Row(label, item)
			label = ""
		}
	}
	list("agent:", []string{spec.Agent})
	list("bottle:", []string{spec.Bottle})
	list("harness:", []string{spec.Harness})
	list("skills:", spec.Skills)
	list("prompt:", []string{strconv.Itoa(spec.PromptLength) + " chars; " + spec.PromptLine})
	var env, egress []string
	for _, entry := range spec.Env {
		kind := string(entry.Kind)
		if entry.Brokered() {
			kind += ", a placeholder inside"
		}
		env = append(env, strings.Join(entry.Names(), ", ")+" ("+kind+")")
	}
	for _, allow := range spec.Egress.Allow {
		egress = append(egress, allow.Host+" ("+allow.Source+")")
	}
	for _, rule := range spec.Egress.Rules {
		egress = append(egress, rule.String())
	}
	list("env:", env)
	list("egress:", egress)
	list("limits:", []string{spec.Limits.String()})
	list("isolation:", []string{string(spec.Isolation)})
	return sheet.Print(opts.Out, opts.style())
}
