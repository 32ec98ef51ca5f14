// Package parts runs the parts of a bottle that are processes of ours inside it,
// and those by which a native one starts. They are no commands for people, and a
// launch waits for each to start: what this package imports is all that they
// need, so that a program of them alone (cmd/guest) is a quarter of the whole one
// and starts in half the time. The gateway, which needs much more, is in package
// beside.
package parts

import (
	"context"
	"fmt"
	"io"
	"slices"

	"claude-bottle/internal/attack"
	"claude-bottle/internal/guest"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/supervise"
	"claude-bottle/internal/wire"
)

// Process is what a part has of the process that it is.
type Process struct {
	In       io.Reader
	Out, Err io.Writer
}

// Serve is the part that args, without the program's name, ask for. ok is false
// when they ask for none; else the process must exit with code.
func (p Process) Serve(ctx context.Context, args []string) (code int, ok bool) {
	switch {
	case len(args) >= 2 && args[0] == "guest" && args[1] == "init":
		bounds, ok := wire.ParseBounds(args[2:])
		if !ok {
			return 0, false
		}
		return guest.Init(ctx, p.In, p.Out, bounds), true
	case slices.Equal(args, []string{"guest", "dial"}):
		return p.Ended(guest.Dial(ctx, p.In, p.Out)), true
	case slices.Equal(args, []string{"guest", "end"}):
		return p.Ended(guest.End()), true
	case slices.Equal(args, guest.ProbeArgs()):
		return p.Ended(probe.Serve(ctx, p.In, p.Out)), true
	case slices.Equal(args, []string{"guest", "attack"}):
		return p.Ended(attack.Run(ctx, p.In, p.Out)), true
	case len(args) > 0 && args[0] == supervise.Command:
		return p.Ended(supervise.Begin(args[1:])), true
	case len(args) > 0 && args[0] == supervise.InsideCommand:
		return p.Ended(supervise.Inside(ctx, args[1:])), true
	}
	return 0, false
}

// exitFailure is the code of a part that ended with an error.
const exitFailure = 1

// Ended says why a part ended, and with which code.
func (p Process) Ended(err error) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(p.Err, "error: %v\n", err)
	return exitFailure
}
