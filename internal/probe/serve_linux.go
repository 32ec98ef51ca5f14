package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// Serve is the guest's child, which tries what a process inside is and may do:
// it reads one request, writes what it found, and ends.
func Serve(_ context.Context, stdin io.Reader, stdout io.Writer) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("become not dumpable: %w", err)
	}
	var p wire.Probe
	if err := json.NewDecoder(stdin).Decode(&p); err != nil {
		return fmt.Errorf("read what to probe: %w", err)
	}
	findings := inTurn([]func() []wire.Finding{
		func() []wire.Finding { return identity(p) },
		func() []wire.Finding { return files(p.Nested) },
		func() []wire.Finding { return mounted(p.Mounted) },
		func() []wire.Finding { return devices(p.Kernel) },
		func() []wire.Finding { return []wire.Finding{parent()} },
		func() []wire.Finding { return []wire.Finding{sockets()} },
		func() []wire.Finding { return calls(p.Nested, p.Bounded) },
	})
	return json.NewEncoder(stdout).Encode(wire.Probed{Findings: findings})
}

// Bottle tries from inside what the network leads to; beside it goes on what
// child finds, which is Serve's in another process. Late are doors that turned
// out to be open after the deadline; it is closed when no more can come.
func Bottle(ctx context.Context, p wire.Probe, child func() []wire.Finding) (probed wire.Probed, late <-chan wire.Finding) {
	around := func() []wire.Finding {
		if p.Alone {
			return alone()
		}
		return own(p.Own)
	}
	checks := slices.Concat(doors(p.Doors, p.Word), resolver(p), ways(p), sendings(p))
	return run(ctx, trial{
		checks: checks, local: []func() []wire.Finding{around}, child: child,
		skip: p.Kernel.Skip, deadline: p.Deadline, late: p.Late,
	})
}
