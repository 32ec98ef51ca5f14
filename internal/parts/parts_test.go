package parts

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestGuestIsSmall: a launch waits for the program of these parts to start four
// times, and each package that is in it is made ready each time. HTTP and TLS
// are half of that.
func TestGuestIsSmall(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "claude-bottle/cmd/guest").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	for _, large := range []string{"net/http", "crypto/tls", "crypto/x509", "crypto/rand", "claude-bottle/internal/gateway"} {
		if slices.Contains(packages, large) {
			t.Errorf("the guest's program has %s in it", large)
		}
	}
}
