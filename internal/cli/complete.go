package cli

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
)

// completer is what cobra asks for arguments. It offers nothing where
// something is broken: a shell's line is no place for an error.
type completer = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeAgents offers the manifest's agents as the first argument. A
// project's manifest is read here but nothing in it is acted on, so trust
// does not matter.
func (a *App) completeAgents(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	m, err := a.manifest()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, name := range slices.Sorted(maps.Keys(m.Agents)) {
		names = append(names, cobra.CompletionWithDesc(name, "bottle "+m.Agents[name].Bottle))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// running and anyRun are which runs completion offers.
func running(info runs.Info) bool { return info.State != runs.Stopped }
func anyRun(runs.Info) bool       { return true }

// oneArg and manyArgs are how many runs a command takes.
const (
	oneArg   = 1
	manyArgs = 1 << 10
)

// completeRuns offers the runs that fit, the newest first, up to most. The
// platform is not asked: completion must be instant.
func (a *App) completeRuns(fits func(runs.Info) bool, most int) completer {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		store, err := a.store()
		if err != nil || len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		infos, err := store.List()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		for _, info := range slices.Backward(infos) {
			if fits(info) && !slices.Contains(args, string(info.ID)) {
				names = append(names, cobra.CompletionWithDesc(string(info.ID), info.Name+" "+string(info.State)))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeRefused offers the runs that are running, and behind one the hosts
// that it was refused because nothing lists them: those that it asked for most
// first.
func (a *App) completeRefused(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeRuns(running, oneArg)(cmd, args, word)
	}
	store, err := a.store()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	info, err := store.Find(args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	hosts, _ := refusedHosts(filepath.Join(store.Dir(info.ID), bottle.RecordDir, recordFile))
	var rules []cobra.Completion
	for _, host := range hosts {
		rules = append(rules, cobra.CompletionWithDesc(host.rule.Text(), "refused "+count(host.times, "time", "times")))
	}
	return rules, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// completeFlag offers what a flag may well be.
func completeFlag(cmd *cobra.Command, name string, values ...string) {
	// The flag was defined before: this cannot fail.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder))
}
