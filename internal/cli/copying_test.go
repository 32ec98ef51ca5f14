package cli

import (
	"bytes"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/term"
	"claude-bottle/internal/workspace"
)

// TestCopyIsSaid: every platform is told where to say how far a copy is and
// what it left out, and the second is said without a terminal too.
func TestCopyIsSaid(t *testing.T) {
	var out bytes.Buffer
	var given PlatformConfig
	state := t.TempDir()
	app := &App{
		Streams: Streams{Err: &out},
		Env: Env{
			Lookup: func(name string) (string, bool) {
				value, ok := map[string]string{"HOME": state, "XDG_STATE_HOME": state}[name]
				return value, ok
			},
			UID: 1000, DefaultPlatform: "one",
			Platforms: map[string]NewPlatform{"one": func(config PlatformConfig) bottle.Platform {
				given = config
				return readyOrNot{name: "one"}
			}},
		},
	}
	app.progress = term.NewProgress(&out, app.Getenv)
	if _, err := app.host(""); err != nil {
		t.Fatal(err)
	}
	given.Copying(100_000, 5_000_000_000)
	if out.Len() > 0 {
		t.Errorf("progress without a terminal: %q", out.String())
	}
	given.Copied(workspace.Report{
		Notes:  []workspace.Note{{Path: "run/app.sock", Reason: workspace.Socket}, {Path: "\x1b[2Jshut", Reason: workspace.Unreadable}},
		Counts: map[workspace.Reason]int{workspace.Socket: 1, workspace.Unreadable: 1},
	})
	for _, want := range []string{"workspace: run/app.sock: socket, left out\n", `workspace: "\x1b[2Jshut": not readable, left out`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("an escape in %q", out.String())
	}
}
