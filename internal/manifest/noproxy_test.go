package manifest

import (
	"strings"
	"testing"
)

// What goes around home's proxy is home's alone, also when home names nothing.
func TestProjectMayNotGoAroundHomesProxy(t *testing.T) {
	_, _, err := withProject(t, "bottles: {work: {egress: {no_proxy: [\"*.example\"]}}}\n")
	if err == nil || !strings.Contains(err.Error(), "bottles.work.egress.no_proxy: set by home's manifest") {
		t.Errorf("error: %v", err)
	}
}
