package cli

import (
	"fmt"

	"claude-bottle/internal/workspace"
)

// Of a project that is copied in a blink nothing is shown.
const (
	manyFiles = 2_000
	manyBytes = 200_000_000
)

// copying shows on a terminal how far the copy of a large project is.
func (a *App) copying(files, bytes int64) {
	if files >= manyFiles || bytes >= manyBytes {
		a.progress.Show(fmt.Sprintf("copying the project: %d files, %s", files, byteSize(bytes)))
	}
}

// copied says what of a project is not in the bottle as it is here.
func (a *App) copied(report workspace.Report) {
	for _, line := range report.Lines() {
		a.note("claude-bottle: workspace: %s", line)
	}
}
