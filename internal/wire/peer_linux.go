package wire

import (
	"net"

	"golang.org/x/sys/unix"
)

// PeerUID is who connected, as the kernel says (SO_PEERCRED, unix(7)).
func PeerUID(peer *net.UnixConn) (int, error) {
	raw, err := peer.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *unix.Ucred
	var inner error
	if err := raw.Control(func(fd uintptr) {
		credentials, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if inner != nil {
		return 0, inner
	}
	return int(credentials.Uid), nil
}
