package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
)

// ruleDecoy is the rule of what was refused since it held a decoy, or came
// after.
const ruleDecoy = "decoy"

func (h *host) recordOf(id runs.ID) string {
	return filepath.Join(h.store.Dir(id), bottle.RecordDir, recordFile)
}

// sayDecoy tells the person that a decoy credential of the run was sent, if one
// was: whoever worked in the bottle took what lay around.
func sayDecoy(w io.Writer, record string) {
	found := errors.New("found")
	_, err := audit.Read(record, func(e audit.Event) error {
		if e.Rule != ruleDecoy {
			return nil
		}
		fmt.Fprintf(w, "claude-bottle: WARNING: at %s a decoy credential was on its way to %s, and the bottle's egress was ended: %s\n",
			e.Time.Local().Format(time.TimeOnly), term.Escape(e.Host), term.Escape(e.Reason))
		return found
	})
	_ = err // found, or a record that cannot be read, which others have said
}
