package supervise

import (
	"context"
	"net"
	"os"
)

// Serve is the gateway's server. ways is its end of the socketpair by which the
// ways in are handed over; control is the socket on which it listens for
// people, which the run's owner alone reaches; confine is to be called before
// anything of a stranger's is read.
type Serve func(ctx context.Context, ways *net.UnixConn, control *os.File, confine func() error) error
