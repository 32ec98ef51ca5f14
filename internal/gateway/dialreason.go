package gateway

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// dialReason says what went wrong without the gateway's own addresses.
func dialReason(err error) string {
	timeout := net.Error(nil)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to it"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "the gateway is ending"
	default:
		return "connection failed"
	}
}
