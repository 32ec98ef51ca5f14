package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"claude-bottle/internal/hint"
)

// newRoot builds the tree of commands. Cobra prints nothing by itself but
// help that was asked for: errors go through exit.
func newRoot(app *App) *cobra.Command {
	version := false
	root := &cobra.Command{
		Use:           "claude-bottle",
		Short:         "Run a coding agent in a disposable sandbox with one way out",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				return unknownCommand(cmd, args[0])
			case version:
				return runVersion(&versionOptions{App: app})
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVar(&version, "version", false, "print the version, as the command does")
	root.SetIn(app.In)
	root.SetOut(app.Out)
	root.SetErr(app.Err)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupRuns, Title: "Working with agents:"},
		&cobra.Group{ID: groupManifest, Title: "The manifest:"},
		&cobra.Group{ID: groupOther, Title: "Else:"},
	)
	addGroup(root, groupRuns,
		newStart(app), newLogin(app), newLogout(app), newTry(app), newPs(app), newExec(app), newStop(app), newEgress(app), newAllow(app), newApprove(app), newCleanup(app))
	addGroup(root, groupManifest,
		newList(app), newInfo(app), newInit(app), newEdit(app), newValidate(app), newTrust(app), newSchema(app),
		newPolicy(app), newWhy(app))
	addGroup(root, groupOther,
		newDoctor(app), newGateway(app), newVersion(app), newCompletion(app))
	root.SetHelpCommandGroupID(groupOther)
	root.SetHelpCommand(newHelp())
	return root
}

// Groups of commands in the help.
const (
	groupRuns     = "runs"
	groupManifest = "manifest"
	groupOther    = "other"
)

func addGroup(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = group
		root.AddCommand(cmd)
	}
}

// newHelp is cobra's help command with our errors.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Describe a command",
		GroupID: groupOther,
		Args:    optionalArg("a command"),
		RunE: func(cmd *cobra.Command, args []string) error {
			described, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(cmd.Root(), args[0])
			}
			return described.Help()
		},
	}
}

// flagError is a usage error; of a flag that does not exist it names what is
// close.
func flagError(cmd *cobra.Command, err error) error {
	usage := usageError{err: err, command: cmd.CommandPath()}
	var missing *pflag.NotExistError
	if !errors.As(err, &missing) {
		return usage
	}
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, "--"+flag.Name) })
	if near := hint.Closest("--"+missing.GetSpecifiedName(), names); len(near) > 0 {
		usage.hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage
}

// unknownCommand says so, and names what is close.
func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	err := usagef(cmd, "unknown command %q", name)
	if close := cmd.SuggestionsFor(name); len(close) > 0 {
		err.hint = "did you mean " + strings.Join(close, " or ") + "?"
	}
	return err
}
