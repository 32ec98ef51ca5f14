package docker

import (
	"errors"
	"fmt"
	"testing"

	"github.com/containerd/errdefs"
)

// TestNameTaken knows the words of several engines for one thing: another run
// has the name.
func TestNameTaken(t *testing.T) {
	conflict := func(text string) error { return fmt.Errorf("%s: %w", text, errdefs.ErrConflict) }
	for err, taken := range map[error]bool{
		conflict(`The container name "/claude-bottle-a" is already in use by container "1"`):                                            true,
		conflict("network with name claude-bottle-a.network already exists"):                                                            true,
		errors.New("network claude-bottle-a.network is ambiguous (2 matches found on name)"):                                            true,
		fmt.Errorf("invalid endpoint settings:\nno configured subnet contains IP address 10.213.20.11: %w", errdefs.ErrInvalidArgument): true,
		conflict("removal of container 1 is already in progress"):                                                                       false,
		errors.New(`a volume named "x" is already in use by itself`):                                                                    false,
	} {
		if got := nameTaken(err); got != taken {
			t.Errorf("%v: %t", err, got)
		}
	}
	if nameTaken(nil) {
		t.Error("no error")
	}
}
