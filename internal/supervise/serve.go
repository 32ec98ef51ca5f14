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

// Commands of our program that are parts of a native bottle; see Begin, Run and
// Inside.
const (
	Command       = "supervise"
	InsideCommand = "inside"
)

// asGateway is the first argument of a supervisor that is a gateway already: no
// run has such an id.
const asGateway = "gateway"

// IsGateway says whether a command is Run's. args are those after the program's
// name.
func IsGateway(args []string) bool {
	return len(args) > 1 && args[0] == Command && args[1] == asGateway
}
