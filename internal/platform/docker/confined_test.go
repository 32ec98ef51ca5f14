package docker

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
)

// TestServersConfineThemselves: guest and gateway run under a filter more
// than the one that the engine put there.
func TestServersConfineThemselves(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	info, err := b.api.Info(t.Context(), client.InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := 1
	if slices.ContainsFunc(info.Info.SecurityOptions, func(option string) bool { return strings.HasPrefix(option, "name=seccomp") }) {
		want++
	}
	spec := b.spec()
	spec.Isolation = bottle.Runc
	i := b.launch(t, spec)
	for role, id := range map[string]string{roleAgent: i.made.Agent, roleGateway: i.made.Gateway} {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.inspect(t, id).State.Pid))
		if err != nil {
			t.Skipf("the engine's processes are not to be seen from here: %v", err)
		}
		if !strings.Contains(string(status), "Seccomp_filters:") {
			t.Skip("the kernel does not count filters (Linux 5.9 does)")
		}
		if !strings.Contains(string(status), fmt.Sprintf("\nSeccomp_filters:\t%d\n", want)) {
			t.Errorf("%s: not under %d filters:\n%s", role, want, status)
		}
	}
}
