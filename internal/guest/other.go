//go:build !linux

package guest

import (
	"context"
	"errors"
	"io"

	"claude-bottle/internal/wire"
)

// ErrPlatform is what every call answers where there are no bottles inside
// which a guest could run.
var ErrPlatform = errors.New("a guest runs on Linux only")

// ProbeArgs are the arguments by which a guest starts its probe.
func ProbeArgs() []string { return []string{"guest", "probe"} }

// Init refuses.
func Init(context.Context, io.Reader, io.Writer, wire.Bounds) int { return 1 }

// End refuses.
func End() error { return ErrPlatform }

// Dial refuses.
func Dial(context.Context, io.Reader, io.Writer) error { return ErrPlatform }
