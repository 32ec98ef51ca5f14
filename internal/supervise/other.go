//go:build !linux

package supervise

import (
	"context"
	"errors"
)

var errPlatform = errors.New("native bottles are namespaces of Linux, which this machine does not run")

// Begin refuses.
func Begin([]string) error { return errPlatform }

// Run refuses.
func Run(context.Context, []string, Serve) error { return errPlatform }

// Inside refuses.
func Inside(context.Context, []string) error { return errPlatform }
