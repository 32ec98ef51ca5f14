//go:build linux

package native

import (
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
)

// TestPipelockIsRefused: native bottles have no container for it.
func TestPipelockIsRefused(t *testing.T) {
	_, err := plan(bottle.Spec{Gateway: bottle.Pipelock}, observed{Bubblewrap: "/usr/bin/bwrap"})
	if err == nil || !strings.Contains(err.Error(), "gateway pipelock") || !strings.Contains(hint.Of(err), "--platform docker") {
		t.Errorf("%v", err)
	}
}
