//go:build unix

package gateway

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// eachPiece calls use with each piece that conn delivers, until an error or
// the end (io.EOF). A connection that waits holds no buffer: it is taken when
// there is something to read.
func eachPiece(conn net.Conn, use func([]byte) error) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return eachPieceBuffered(conn, use)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var n int
		var rerr, uerr error
		var buffer *[bufferSize]byte
		err := raw.Read(func(fd uintptr) bool {
			buffer = buffers.Get().(*[bufferSize]byte)
			n, rerr = unix.Read(int(fd), buffer[:])
			for rerr == unix.EINTR {
				n, rerr = unix.Read(int(fd), buffer[:])
			}
			if rerr == unix.EAGAIN {
				buffers.Put(buffer)
				return false
			}
			return true
		})
		if err != nil {
			return err
		}
		if n > 0 {
			uerr = use(buffer[:n])
		}
		buffers.Put(buffer)
		switch {
		case rerr != nil:
			return os.NewSyscallError("read", rerr)
		case n <= 0:
			return io.EOF
		case uerr != nil:
			return uerr
		}
	}
}

// quiet says whether conn is open and has nothing to read. It does not wait.
func quiet(conn net.Conn) bool {
	if over, ok := conn.(*tls.Conn); ok {
		return settled(over) && quiet(socket(over))
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var rerr error
	err = raw.Control(func(fd uintptr) {
		_, _, rerr = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return err == nil && (rerr == unix.EAGAIN || rerr == unix.EINTR)
}

// descriptors is how many this process may have. The runtime has raised the
// limit to the hard one.
func descriptors() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Cur, 1<<20)) //nolint:gosec // G115: bounded
}
