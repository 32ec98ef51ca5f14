package cli

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/term"
)

// Exit codes. The harness's own code passes through all the same, so a caller
// that must tell them apart reads standard error.
const (
	exitFailure     = 1   // everything else
	exitUsage       = 2   // the command line or the manifest
	exitTimeout     = 124 // --timeout ended the run, as timeout(1)
	exitLaunch      = 125 // the bottle could not be launched, as docker run
	exitInterrupted = 130 // SIGINT; other signals 128 + their number
	exitKilled      = 137 // claude-bottle stop ended the bottle, and what was asked to end did not
)

// usageError is a mistake in the command line.
type usageError struct {
	err     error
	command string // the command path whose help explains it
	hint    string // instead of pointing at the help
}

func (u usageError) Error() string { return u.err.Error() }
func (u usageError) Unwrap() error { return u.err }

// usagef makes a usageError of cmd.
func usagef(cmd *cobra.Command, format string, args ...any) usageError {
	return usageError{err: fmt.Errorf(format, args...), command: cmd.CommandPath()}
}

// codeError carries the code to exit with. A nil err prints nothing: the code
// is a result, as the harness's own, or `why` on a refused URL.
type codeError struct {
	code int
	err  error
}

func (c codeError) Error() string {
	if c.err == nil {
		return fmt.Sprintf("exit code %d", c.code)
	}
	return c.err.Error()
}

func (c codeError) Unwrap() error { return c.err }

// withCode makes err end the command with code; a nil err stays nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return codeError{code, err}
}

// codeOf is the exit code of err: the outermost that it carries.
func codeOf(err error) int {
	var coded codeError
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailure
}

// exit prints err and its hint, and returns the code it ends with. An error
// that is a code alone is a result and prints nothing.
func (a *App) exit(err error) int {
	var coded codeError
	if result := errors.As(err, &coded) && coded.err == nil; err != nil && !result {
		a.printError(err)
	}
	return codeOf(err)
}

// printError writes what failed and what a person can do about it. Of an
// error of several lines each problem of a manifest is an error of its own.
func (a *App) printError(err error) {
	every := errors.As(err, new(manifest.Errors))
	for i, line := range strings.Split(strings.TrimRight(err.Error(), "\n"), "\n") {
		if i == 0 || every {
			line = "error: " + line
		}
		fmt.Fprintln(a.Err, term.Escape(line))
	}
	if advice := hintOf(err); advice != "" {
		fmt.Fprintln(a.Err, "hint: "+advice)
	}
}

func hintOf(err error) string {
	if advice := hint.Of(err); advice != "" {
		return advice
	}
	var usage usageError
	if !errors.As(err, &usage) {
		return ""
	}
	if usage.hint != "" {
		return usage.hint
	}
	return "see " + usage.command + " --help"
}

// recoverTo turns a panic into one clear error. The trace is for whoever
// mends it, so it is printed only when asked for.
func (a *App) recoverTo(code *int) {
	cause := recover()
	if cause == nil {
		return
	}
	*code = exitLaunch
	fmt.Fprintf(a.Err, "error: claude-bottle has a defect: %v\n", cause)
	if a.Getenv("CLAUDE_BOTTLE_TRACE") != "" {
		fmt.Fprintf(a.Err, "%s", debug.Stack())
		return
	}
	fmt.Fprintln(a.Err, "hint: run it again with CLAUDE_BOTTLE_TRACE=1 and report what it prints; claude-bottle cleanup removes what it left")
}
