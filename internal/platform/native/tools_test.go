//go:build linux

package native

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/wire"
	"claude-bottle/test/engine"
	"claude-bottle/test/everyday"
)

// TestToolsWork: the programs of this machine that people run work in a bottle,
// or are told no in a way that they understand.
func TestToolsWork(t *testing.T) {
	engine.Long(t)
	b, _ := launched(t, nil)
	for _, tool := range everyday.All("$HOME/go-build") {
		t.Run(tool.Name, func(t *testing.T) {
			engine.Tool(t, tool.Needs)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			var out bytes.Buffer
			start := wire.Start{Argv: []string{"sh", "-c", "dir=$(mktemp -d) && cd $dir\n" + tool.Script}}
			if _, err := b.Exec(ctx, start, wire.Streams{Stdout: &out, Stderr: &out}); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(out.String()); got != tool.Want {
				t.Errorf("%q, want %q", got, tool.Want)
			}
		})
	}
}
