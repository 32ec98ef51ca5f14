// Package handover carries a bottle's ways in from where they are opened to
// where they are served. A bottle that has no network but its own loopback
// leaves nothing to misconfigure: no route, no address, no broadcast. Its
// gateway serves listeners that were opened inside, in the bottle's network
// namespace, and were passed out as descriptors (SCM_RIGHTS, unix(7)); a
// socket stays in the namespace that it was made in.
//
// Inside, before anything of the agent's runs:
//
//	sockets, err := handover.Open(handover.Address(), wire.StandardPorts)
//	conn, err := handover.Dial(ctx, path) // waits until the gateway listens
//	err = sockets.Send(ctx, conn, nonce)  // closes conn and the sockets, whatever comes of it
//
// The gateway, before it is ready:
//
//	door, err := handover.Listen(path)
//	set, err := door.Receive(ctx, handover.Want{Nonce: nonce, UID: uid, Address: handover.Address(), Ports: wire.StandardPorts})
//
// A Door takes one connection, closes and unlinks its socket, and gives what
// came to Receive, so whoever comes later finds nobody. Two processes that
// share a socketpair (AF_UNIX, SOCK_SEQPACKET) give their ends to Send and
// Receive and need no Door.
//
// What is received counts only as a whole: a peer of one uid (SO_PEERCRED), a
// message that is the launch's nonce and nothing else, and one descriptor for
// each port, in order, each a socket of the right family, type and protocol,
// that listens (or, over UDP, is not connected), bound to exactly the address
// and port that it should be. Anything else closes all and is an error.
//
// Whoever may write the directory of a Door's socket may take the gateway's
// place: it is the run's, 0700, and the agent sees it read-only or not at all.
package handover

import "net/netip"

// Address is where a bottle without a network has its ways in. It is on
// loopback and not 127.0.0.1, so that a server of the agent's own on
// localhost, port 80 say, and the gateway do not meet.
func Address() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 77}) }
