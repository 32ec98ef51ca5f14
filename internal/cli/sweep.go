package cli

import (
	"context"
	"fmt"
	"strings"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
)

// sweep finishes what launchers that died left behind. It is quiet unless
// something was swept, and what it cannot remove never stops the command that
// it comes before.
func (a *App) sweep(ctx context.Context, h *host) {
	defer failpoint.Span("cli.sweep")()
	swept, err := bottle.Sweep(ctx, h.store, h.platforms...)
	if n := len(swept.Stopped) + len(swept.Discarded); n > 0 {
		fmt.Fprintf(a.Err, "claude-bottle: swept up after %s; %d kept as stopped: see claude-bottle ps --all\n",
			count(n, "launcher that died", "launchers that died"), len(swept.Stopped))
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") { // each run has its own
		fmt.Fprintf(a.Err, "warning: %s\n", term.Escape(line))
	}
}

// swept lists the runs after a sweep.
func (a *App) swept(ctx context.Context) ([]runs.Info, error) {
	h, err := a.host("")
	if err != nil {
		return nil, err
	}
	a.sweep(ctx, h)
	return h.store.List()
}

// find is the run that arg means, after a sweep.
func (a *App) find(ctx context.Context, arg string) (*host, runs.Info, error) {
	h, err := a.host("")
	if err != nil {
		return nil, runs.Info{}, err
	}
	a.sweep(ctx, h)
	info, err := h.store.Find(arg)
	return h, info, err
}

// count is "1 run" or "3 runs".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
