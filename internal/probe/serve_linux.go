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

// Serve is the guest's child that probes: it reads one request, writes what it
// found, and then one more line for each door that turns out to be open. It
// ends when all has been silent long enough.
func Serve(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	// The agent runs beside it for some seconds, under the same uid.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("become not dumpable: %w", err)
	}
	var p wire.Probe
	if err := json.NewDecoder(stdin).Decode(&p); err != nil {
		return fmt.Errorf("read what to probe: %w", err)
	}
	probed, late := Bottle(ctx, p)
	out := json.NewEncoder(stdout)
	if err := out.Encode(probed); err != nil {
		return err
	}
	for finding := range late {
		if err := out.Encode(finding); err != nil {
			return err
		}
	}
	return nil
}

// Bottle probes from inside. Late are doors that turned out to be open after
// the deadline; it is closed when no more can come.
func Bottle(ctx context.Context, p wire.Probe) (probed wire.Probed, late <-chan wire.Finding) {
	checks := slices.Concat(doors(p.Doors, p.Word), resolver(p), ways(p))
	local := []func() []wire.Finding{
		func() []wire.Finding { return identity(p) },
		func() []wire.Finding { return own(p.Own) },
		files,
		func() []wire.Finding { return devices(p.Kernel) },
		func() []wire.Finding { return []wire.Finding{parent()} },
		func() []wire.Finding { return []wire.Finding{sockets()} },
		calls,
	}
	return run(ctx, trial{checks: checks, local: local, skip: p.Kernel.Skip, deadline: p.Deadline, late: p.Late})
}
