package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// format is the value of --format.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
)

// flag gives cmd the flag --format.
func (f *format) flag(cmd *cobra.Command) {
	*f = formatText
	cmd.Flags().Var(f, "format", "print `text` or json")
	// The flag was defined on the line above: this cannot fail.
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(
		[]string{string(formatText), string(formatJSON)}, cobra.ShellCompDirectiveNoFileComp))
}

// String and the next two are pflag.Value.
func (f *format) String() string { return string(*f) }

// Type is what help calls the value.
func (f *format) Type() string { return "format" }

// Set accepts the two formats.
func (f *format) Set(value string) error {
	switch format(value) {
	case formatText, formatJSON:
		*f = format(value)
		return nil
	}
	return fmt.Errorf("must be text or json")
}

// noArgs and the next ones are cobra's checks, as usage errors that say what
// is missing.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef(cmd, "%s takes no argument: %q", cmd.Name(), args[0])
	}
	return nil
}

// argsNamed returns the check for as many arguments as there are names, each
// with its article.
func argsNamed(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usagef(cmd, "%s needs %s", cmd.Name(), strings.Join(names[len(args):], " and "))
		}
		if len(args) > len(names) {
			return usagef(cmd, "%s takes %s: %q is one too many", cmd.Name(), strings.Join(names, " and "), args[len(names)])
		}
		return nil
	}
}

// optionalArg returns the check for at most one argument.
func optionalArg(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef(cmd, "%s takes %s: %q is one too many", cmd.Name(), name, args[1])
		}
		return nil
	}
}

// platformFlag gives cmd the flag --platform.
func platformFlag(cmd *cobra.Command, app *App, value *string) {
	cmd.Flags().StringVar(value, "platform", "", "where the bottle runs: a platform's `name`, or auto (or set CLAUDE_BOTTLE_PLATFORM)")
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions(app.platformNames(), cobra.ShellCompDirectiveNoFileComp))
}
