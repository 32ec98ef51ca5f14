package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"claude-bottle/internal/doctor"
	"claude-bottle/internal/term"
)

type doctorOptions struct {
	*App
	Platform string
	Format   format
}

func newDoctor(app *App) *cobra.Command {
	opts := &doctorOptions{App: app}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether this machine is fit for bottles, and how to mend what is not",
		Long: `Look at everything that a launch depends on: the engine and the holes known of
its version, images, credentials (their names), the kernel, the state directory,
what crashes left, the clock, the manifest of this directory, the terminal. For
each it says whether it works, and the one command that mends it. Nothing is
made or changed.

The exit code is 1 when something failed, 0 with warnings alone.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), opts) },
	}
	platformFlag(cmd, app, &opts.Platform)
	opts.Format.flag(cmd)
	return cmd
}

// lookLimit bounds everything that doctor looks at.
const lookLimit = 10 * time.Second

// diagnosis is what `doctor` says, for programs.
type diagnosis struct {
	State  doctor.State   `json:"state"` // the worst
	Checks []doctor.Check `json:"checks"`
}

func runDoctor(ctx context.Context, opts *doctorOptions) error {
	checks := doctor.Run(ctx, lookLimit, newExamination(opts.App, opts.Platform).probes())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d := diagnosis{doctor.Worst(checks), checks}
	var err error
	if opts.Format == formatJSON {
		err = writeJSON(opts.Out, d)
	} else {
		err = printChecks(opts.Out, opts.style(), checks)
		opts.note("claude-bottle: %s", tally(checks))
	}
	if err == nil && d.State == doctor.Fail {
		return codeError{code: exitFailure}
	}
	return err
}

// printChecks writes one line a check, and below it what there is to add.
func printChecks(w io.Writer, style term.Style, checks []doctor.Check) error {
	width := 0
	for _, check := range checks {
		width = max(width, len(check.Name))
	}
	indent := strings.Repeat(" ", len("warn")+2+width+2)
	var b strings.Builder
	for _, check := range checks {
		state := fmt.Sprintf("%-4s", check.State)
		switch check.State {
		case doctor.OK:
			state = style.Green(state)
		case doctor.Warn:
			state = style.Yellow(state)
		case doctor.Fail:
			state = style.Red(state)
		}
		fmt.Fprintf(&b, "%s  %-*s  %s\n", state, width, term.Escape(check.Name), term.Escape(check.Detail))
		for _, note := range check.Notes {
			fmt.Fprintf(&b, "%s- %s\n", indent, term.Escape(note))
		}
		if check.Mend != "" {
			fmt.Fprintf(&b, "%s%s %s\n", indent, style.Dim("mend:"), term.Escape(check.Mend))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tally is the last line, for people.
func tally(checks []doctor.Check) string {
	n := map[doctor.State]int{}
	for _, check := range checks {
		n[check.State]++
	}
	return fmt.Sprintf("%d ok, %s, %s", n[doctor.OK],
		count(n[doctor.Warn], "warning", "warnings"), count(n[doctor.Fail], "failure", "failures"))
}
