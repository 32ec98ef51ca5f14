package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"claude-bottle/internal/term"
)

// canAsk says whether there is somebody to ask.
func (a *App) canAsk() bool { return a.Interactive() }

// terminals says whether a program inside should have a terminal.
func (a *App) terminals() bool { return term.IsTerminal(a.In) && term.IsTerminal(a.Out) }

// confirm asks a question that only y or yes agrees to.
func (a *App) confirm(ctx context.Context, question string) (bool, error) {
	agreed, err := a.prompt().Confirm(ctx, "claude-bottle: "+question)
	if err != nil {
		fmt.Fprintln(a.Err) // the question's line has no end yet
	}
	return agreed, err
}

// ask asks a question below what explains it, which a person has to have read
// first, and returns a line.
func (a *App) ask(ctx context.Context, question string) (string, error) {
	if err := a.prompt().Settle(ctx); err != nil {
		return "", err
	}
	fmt.Fprintf(a.Err, "claude-bottle: %s ", question)
	return a.prompt().Line(ctx)
}

func (a *App) prompt() *term.Prompt { return &term.Prompt{In: a.input, Out: a.Err} }

// secretAsker is how a secret is asked for, or nil when there is nobody to
// ask.
func (a *App) secretAsker() func(ctx context.Context, name, message string) (string, error) {
	if !a.canAsk() {
		return nil
	}
	return func(ctx context.Context, name, message string) (string, error) {
		if message == "" {
			return a.prompt().Secret(ctx, "claude-bottle: "+name)
		}
		return a.prompt().Secret(ctx, fmt.Sprintf("claude-bottle: %s (%s)", message, name))
	}
}

// note says one thing on standard error, above what is under way.
func (a *App) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if term.IsTerminal(a.Err) {
		a.progress.Line(text)
		return
	}
	fmt.Fprintln(a.Err, term.Escape(text))
}

// noteLines is a writer whose lines are notes: what a platform says while it
// works, as the output of an image's build.
type noteLines struct {
	app  *App
	line []byte // not ended yet
}

func (n *noteLines) Write(p []byte) (int, error) {
	n.line = append(n.line, p...)
	for {
		line, rest, ended := bytes.Cut(n.line, []byte("\n"))
		if !ended {
			return len(p), nil
		}
		n.line = rest
		n.app.note("%s", strings.TrimRight(string(line), "\r"))
	}
}

// style is for what goes to standard output.
func (a *App) style() term.Style { return term.StyleOf(a.Out, a.Getenv) }
