package cli

import (
	"fmt"

	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
)

// showIsolation is the plan's follow-up line: what the launch's probe found.
func (a *App) showIsolation(h *host, id runs.ID) {
	info, _, err := h.store.Load(id)
	if err == nil && info.Isolation != "" {
		fmt.Fprintln(a.Err, "isolation: "+term.Escape(info.Isolation))
	}
}
