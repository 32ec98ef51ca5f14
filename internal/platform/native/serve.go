package native

import (
	"context"
	"net"
)

// Serve is the gateway's server. ways is its end of the socketpair by which the
// ways in are handed over; confine is to be called before anything of a
// stranger's is read.
type Serve func(ctx context.Context, ways *net.UnixConn, confine func() error) error
