// Package parts runs the parts of a bottle that are processes of ours: guest,
// probe, gateway and supervisor. They are no commands for people, and a bottle
// waits for each to start: what this package imports is all that they need, so
// that a program of them alone (cmd/part) is half as large as the whole one and
// starts in half the time.
package parts

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"

	"claude-bottle/internal/attack"
	"claude-bottle/internal/gateway"
	"claude-bottle/internal/guest"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/supervise"
	"claude-bottle/internal/wire"
)

// Process is what a part has of the process that it is.
type Process struct {
	In       io.Reader
	Out, Err io.Writer
	UID      int
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
		return p.ended(guest.Dial(ctx, p.In, p.Out)), true
	case slices.Equal(args, []string{"guest", "end"}):
		return p.ended(guest.End()), true
	case slices.Equal(args, guest.ProbeArgs()):
		return p.ended(probe.Serve(ctx, p.In, p.Out)), true
	case slices.Equal(args, []string{"guest", "attack"}):
		return p.ended(attack.Run(ctx, p.In, p.Out)), true
	case len(args) > 0 && args[0] == supervise.Command:
		return p.ended(supervise.Run(ctx, args[1:], p.serveHanded)), true
	case len(args) > 0 && args[0] == supervise.InsideCommand:
		return p.ended(supervise.Inside(ctx, args[1:])), true
	case slices.Equal(args, []string{"gateway", "run"}):
		gateway.ShareProcessors()
		return p.ended(gateway.Serve(ctx, p.In, p.Out)), true
	case slices.Equal(args, []string{"gateway", "host"}):
		return p.ended(gateway.Host(ctx, p.In, p.Out, p.Err)), true
	case slices.Equal(args, []string{"gateway", "ctl"}):
		return p.ended(gateway.Control(ctx, p.In, p.Out)), true
	}
	return 0, false
}

// serveHanded is the gateway of a native bottle.
func (p Process) serveHanded(ctx context.Context, ways *net.UnixConn, control *os.File, confine func() error) error {
	gateway.ShareProcessors()
	return gateway.ServeHanded(ctx, p.In, p.Out, gateway.Handed{Conn: ways, UID: p.UID, Control: control, Confine: confine})
}

// exitFailure is the code of a part that ended with an error.
const exitFailure = 1

// ended says why a part ended, and with which code.
func (p Process) ended(err error) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(p.Err, "error: %v\n", err)
	return exitFailure
}
