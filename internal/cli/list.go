package cli

import (
	"context"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
)

// listed are what `list` takes.
var listed = []cobra.Completion{"available", "active"}

type listOptions struct {
	*App
	Active bool
	Format format
}

func newList(app *App) *cobra.Command {
	opts := &listOptions{App: app}
	cmd := &cobra.Command{
		Use:   "list [available|active]",
		Short: "List the manifest's agents, or those that are at work",
		Long: `List the agents of the manifest (available, which is what is meant without an
argument), or those that are at work in a bottle (active).`,
		ValidArgsFunction: cobra.FixedCompletions(listed, cobra.ShellCompDirectiveNoFileComp),
		Args: func(cmd *cobra.Command, args []string) error {
			if err := optionalArg("available or active")(cmd, args); err != nil {
				return err
			}
			if len(args) == 1 && !slices.Contains(listed, args[0]) {
				return usagef(cmd, "list takes available or active, not %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Active = len(args) == 1 && args[0] == "active"
			if opts.Active {
				return runListActive(cmd.Context(), opts)
			}
			return runListAvailable(opts)
		},
	}
	opts.Format.flag(cmd)
	return cmd
}

// listedAgent is one agent, for programs.
type listedAgent struct {
	Agent   string   `json:"agent"`
	Bottle  string   `json:"bottle"`
	Harness string   `json:"harness"`
	Skills  []string `json:"skills"`
}

func runListAvailable(opts *listOptions) error {
	m, err := opts.manifest()
	if err != nil {
		return err
	}
	agents := []listedAgent{}
	for _, name := range slices.Sorted(maps.Keys(m.Agents)) {
		agent := m.Agents[name]
		agents = append(agents, listedAgent{name, agent.Bottle, agent.Harness, nonNil(agent.Skills)})
	}
	if opts.Format == formatJSON {
		return writeJSON(opts.Out, agents)
	}
	table := term.NewTable("AGENT", "BOTTLE", "HARNESS")
	for _, agent := range agents {
		table.Row(agent.Agent, agent.Bottle, agent.Harness)
	}
	return table.Print(opts.Out, opts.style())
}

func runListActive(ctx context.Context, opts *listOptions) error {
	infos, err := opts.swept(ctx)
	if err != nil {
		return err
	}
	infos = slices.DeleteFunc(infos, func(i runs.Info) bool { return i.State == runs.Stopped })
	if opts.Format == formatJSON {
		return writeJSON(opts.Out, nonNil(infos))
	}
	table := term.NewTable("AGENT", "RUN", "NAME", "STARTED")
	for _, info := range infos {
		table.Row(info.Agent, string(info.ID), info.Name, opts.ago(info.Started))
	}
	return table.Print(opts.Out, opts.style())
}
