package bottle

import (
	"context"
	"fmt"

	"claude-bottle/internal/wire"
)

// Terminate has everything that runs in b asked to end (SIGTERM). It does not
// wait for that, and what was asked may ignore it.
func Terminate(ctx context.Context, b Bottle) error {
	exit, err := b.Exec(ctx, wire.Start{Argv: []string{Program, "guest", "end"}, Dir: "/"}, wire.Streams{})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("ask what is in %s to end: exit code %d", b.Name(), exit.Code)
	}
	return err
}
