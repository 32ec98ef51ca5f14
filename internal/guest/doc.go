// Package guest is the part of the binary that runs inside a bottle and is the
// parent of all else there: process 1 of a container. It starts processes for
// whoever speaks the guest side of wire with it, owns their terminals, reaps
// orphans, and ends everything when the launcher is gone.
//
// It runs under the agent's uid, so it is trusted until the first process of
// the agent's starts and no longer: from then on it holds no secret, and it is
// not dumpable, so that the agent cannot read or trace it. What the agent can
// do by killing it, it can do to its own bottle alone.
//
// Processes are started by the reaper and by nothing else: os/exec here would
// race with wait4(-1).
package guest

// Socket is the abstract unix socket of further conversations, in the
// bottle's network namespace.
const Socket = "@claude-bottle-guest"
