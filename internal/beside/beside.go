// Package beside runs the parts of a bottle that are beside it: its gateway, in
// a container or as the supervisor of a native bottle, and what speaks to a
// gateway in its container. With them come those of package parts.
package beside

import (
	"context"
	"net"
	"os"
	"slices"

	"claude-bottle/internal/gateway"
	"claude-bottle/internal/parts"
	"claude-bottle/internal/supervise"
)

// Serve is the part that args, without the program's name, ask for, here or in
// package parts. ok is false when they ask for none; else the process must exit
// with code.
func Serve(ctx context.Context, p parts.Process, args []string) (code int, ok bool) {
	switch {
	case supervise.IsGateway(args):
		return p.Ended(supervise.Run(ctx, args, handed(p))), true
	case slices.Equal(args, []string{"gateway", "run"}):
		gateway.ShareProcessors()
		return p.Ended(gateway.Serve(ctx, p.In, p.Out)), true
	case slices.Equal(args, []string{"gateway", "host"}):
		return p.Ended(gateway.Host(ctx, p.In, p.Out, p.Err)), true
	case slices.Equal(args, []string{"gateway", "ctl"}):
		return p.Ended(gateway.Control(ctx, p.In, p.Out)), true
	}
	return p.Serve(ctx, args)
}

// handed is the gateway of a native bottle.
func handed(p parts.Process) supervise.Serve {
	return func(ctx context.Context, ways *net.UnixConn, control *os.File, confine func() error) error {
		gateway.ShareProcessors()
		return gateway.ServeHanded(ctx, p.In, p.Out, gateway.Handed{Conn: ways, UID: os.Getuid(), Control: control, Confine: confine})
	}
}
