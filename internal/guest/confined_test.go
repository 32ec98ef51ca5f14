//go:build linux

package guest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/confine"
	"claude-bottle/internal/wire"
)

// forbidVariable makes the guest of a test start where a sandbox around it
// forbids filters, as some engines' profiles could.
const forbidVariable = "GUEST_TEST_FORBID"

func forbidFilters() error {
	if os.Getenv(forbidVariable) == "" {
		return nil
	}
	outer := confine.Bottle()
	outer.Refused = append(outer.Refused, confine.Row{Name: "filters", Calls: "seccomp", Errno: unix.EINVAL})
	return outer.Apply()
}

// TestAllInsideIsConfined, as the kernel tells it: the guest, what it starts,
// and what comes by the socket.
func TestAllInsideIsConfined(t *testing.T) {
	t.Parallel()
	b := launch(t)
	const ask = "grep -hE '^(Seccomp|NoNewPrivs):' /proc/1/status /proc/self/status"
	want := strings.Repeat("NoNewPrivs:\t1\nSeccomp:\t2\n", 2)
	for name, client := range map[string]*wire.GuestClient{"boot stream": b.GuestClient, "socket": b.dial(t, 0)} {
		if got := shell(t, client, ask); got.stdout != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestGuestRefusesToBootUnconfined: nothing runs where the filter cannot be.
func TestGuestRefusesToBootUnconfined(t *testing.T) {
	t.Parallel()
	b, boot := spawn(t, func(cmd *exec.Cmd, _ *wire.GuestBoot) { cmd.Env = append(cmd.Env, forbidVariable+"=1") })
	if err := b.Boot(deadline(t), boot); err == nil || !strings.Contains(err.Error(), "install the seccomp filter") {
		t.Errorf("Boot: %v", err)
	}
	if b.end(t) == nil {
		t.Error("the guest ended well")
	}
}
