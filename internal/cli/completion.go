package cli

import (
	"github.com/spf13/cobra"
)

// shells are those that cobra writes scripts for.
var shells = []cobra.Completion{"bash", "zsh", "fish", "powershell"}

func newCompletion(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script for a shell",
		Long: `Print a completion script for a shell, on standard output.

  bash:  source <(claude-bottle completion bash)
  zsh:   claude-bottle completion zsh > "${fpath[1]}/_claude-bottle"
  fish:  claude-bottle completion fish > ~/.config/fish/completions/claude-bottle.fish`,
		Args:              argsNamed("a shell (bash, zsh, fish or powershell)"),
		ValidArgsFunction: cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp),
		RunE:              func(cmd *cobra.Command, args []string) error { return runCompletion(app, cmd, args[0]) },
	}
}

func runCompletion(app *App, cmd *cobra.Command, shell string) error {
	root := cmd.Root()
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(app.Out, true)
	case "zsh":
		return root.GenZshCompletion(app.Out)
	case "fish":
		return root.GenFishCompletion(app.Out, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(app.Out)
	}
	return usagef(cmd, "no completion for %q: bash, zsh, fish or powershell", shell)
}
