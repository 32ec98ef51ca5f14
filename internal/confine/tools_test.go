//go:build linux

package confine

import (
	"os/exec"
	"strings"
	"testing"

	"claude-bottle/test/engine"
	"claude-bottle/test/everyday"
)

// TestToolsWork: what people run in a bottle runs under the filter as it does
// without. The same is tried in real bottles: of native by its TestToolsWork, and
// where an engine's own filter is below by the TestConfinedBottles of test/e2e.
func TestToolsWork(t *testing.T) {
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output() // an empty one would have Go's library compiled
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range everyday.All(strings.TrimSpace(string(cache))) {
		t.Run(test.Name, func(t *testing.T) {
			t.Parallel()
			engine.Tool(t, test.Needs)
			if got := strings.TrimSpace(output(t, inRole(t, roleRun, "sh", "-c", test.Script))); got != test.Want {
				t.Errorf("%q, want %q", got, test.Want)
			}
		})
	}
}
