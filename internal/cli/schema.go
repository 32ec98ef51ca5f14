package cli

import (
	"github.com/spf13/cobra"

	"claude-bottle/internal/manifest"
)

func newSchema(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a manifest",
		Long: `Print the JSON Schema of a manifest. An editor that knows JSON Schema completes
and checks a manifest with it: save it, and name it in the manifest as "$schema".`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := app.Out.Write(manifest.Schema())
			return err
		},
	}
}
