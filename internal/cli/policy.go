package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func newPolicy(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "policy AGENT",
		Short: "Print the compiled policy of an agent's bottle, as the gateway reads it",
		Long: `Print, as JSON, everything that decides what an agent's bottle may reach: what
the manifest says and what the agent's program cannot work without. The gateway
reads the same file: claude-bottle gateway --policy FILE.`,
		Args:              argsNamed("an agent"),
		ValidArgsFunction: app.completeAgents,
		RunE:              func(cmd *cobra.Command, args []string) error { return runPolicy(cmd.Context(), app, args[0]) },
	}
}

func runPolicy(ctx context.Context, app *App, agent string) error {
	_, egress, err := app.policyOf(ctx, agent)
	if err != nil {
		return err
	}
	return writeJSON(app.Out, egress)
}
