//go:build !linux

package handover

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"claude-bottle/internal/wire"
)

// ErrPlatform is what every call answers where there are no network
// namespaces.
var ErrPlatform = errors.New("ways in are handed over on Linux only")

// Sockets are ways in that were opened and not yet handed over.
type Sockets struct{}

// Open refuses.
func Open(netip.Addr, wire.Ports) (*Sockets, error) { return nil, ErrPlatform }

// Close does nothing.
func (*Sockets) Close() {}

// Send refuses.
func (*Sockets) Send(context.Context, *net.UnixConn, string) error { return ErrPlatform }

// Dial refuses.
func Dial(context.Context, string) (*net.UnixConn, error) { return nil, ErrPlatform }

// Door is where a gateway waits for a handover.
type Door struct{}

// Listen refuses.
func Listen(string) (*Door, error) { return nil, ErrPlatform }

// Close does nothing.
func (*Door) Close() error { return nil }

// Receive refuses.
func (*Door) Receive(context.Context, Want) (*Set, error) { return nil, ErrPlatform }

// Receive refuses.
func Receive(context.Context, *net.UnixConn, Want) (*Set, error) { return nil, ErrPlatform }
