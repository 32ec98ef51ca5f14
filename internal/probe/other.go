//go:build !linux

package probe

import (
	"context"
	"errors"
	"io"
	"net/netip"

	"claude-bottle/internal/wire"
)

// Serve refuses: a bottle's inside is Linux.
func Serve(context.Context, io.Reader, io.Writer) error {
	return errors.New("a bottle is probed on Linux only")
}

// Gateway finds nothing: a gateway that is on trial runs on Linux.
func Gateway(context.Context, wire.GatewayProbe, []wire.Canary, string, []netip.AddrPort, string) wire.Probed {
	return wire.Probed{}
}
