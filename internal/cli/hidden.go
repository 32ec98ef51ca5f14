package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"

	"claude-bottle/internal/attack"
	"claude-bottle/internal/gateway"
	"claude-bottle/internal/guest"
	"claude-bottle/internal/platform/native"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// serve runs the parts of the binary that platforms start inside their
// sandboxes. They are no commands for people, are in no help, and answer
// before the tree of commands is built: a bottle waits for them.
func (a *App) serve(ctx context.Context, args []string) (code int, ok bool) {
	switch {
	case len(args) >= 2 && args[0] == "guest" && args[1] == "init":
		bounds, ok := wire.ParseBounds(args[2:])
		if !ok {
			return 0, false
		}
		return guest.Init(ctx, a.In, a.Out, bounds), true
	case slices.Equal(args, []string{"guest", "dial"}):
		return a.served(guest.Dial(ctx, a.In, a.Out)), true
	case slices.Equal(args, guest.ProbeArgs()):
		return a.served(probe.Serve(ctx, a.In, a.Out)), true
	case slices.Equal(args, []string{"guest", "attack"}):
		return a.served(attack.Run(ctx, a.In, a.Out)), true
	case len(args) > 0 && args[0] == native.SuperviseCommand:
		return a.served(native.Supervise(ctx, args[1:], a.serveHanded)), true
	case len(args) > 0 && args[0] == native.InsideCommand:
		return a.served(native.Inside(ctx, args[1:])), true
	case slices.Equal(args, []string{"gateway", "run"}):
		return a.served(gateway.Serve(ctx, a.In, a.Out)), true
	case slices.Equal(args, []string{"gateway", "host"}):
		return a.served(gateway.Host(ctx, a.In, a.Out, a.Err)), true
	case slices.Equal(args, []string{"gateway", "ctl"}):
		return a.served(gateway.Control(ctx, a.In, a.Out)), true
	}
	return 0, false
}

// serveHanded is the gateway of a native bottle.
func (a *App) serveHanded(ctx context.Context, ways *net.UnixConn, control *os.File, confine func() error) error {
	return gateway.ServeHanded(ctx, a.In, a.Out, gateway.Handed{Conn: ways, UID: a.UID, Control: control, Confine: confine})
}

// served is the exit code of a server that ended with err.
func (a *App) served(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(a.Err, "error: %v\n", err)
	return exitFailure
}
