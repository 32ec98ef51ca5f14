package cli

import (
	"fmt"

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

// noArgs, oneArg and the like are cobra's checks, as usage errors that say
// what is missing by its name in the usage line.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef(cmd, "%s takes no argument: %q", cmd.Name(), args[0])
	}
	return nil
}

// argNamed returns the check for exactly one argument.
func argNamed(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return usagef(cmd, "%s needs %s", cmd.Name(), name)
		case 1:
			return nil
		}
		return usagef(cmd, "%s takes one %s: %q is one too many", cmd.Name(), name, args[1])
	}
}

// optionalArg returns the check for at most one argument.
func optionalArg(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef(cmd, "%s takes one %s: %q is one too many", cmd.Name(), name, args[1])
		}
		return nil
	}
}
