//go:build linux

package guest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// maxConversations bounds those on the socket at one time.
const maxConversations = 64

// courtesy is how long a refused peer may take to read why.
const courtesy = time.Second

// backoff keeps an accept that fails at once from spinning.
const backoff = 50 * time.Millisecond

var errCrowded = fmt.Errorf("%d conversations are open: end one first", maxConversations)

// listen serves conversations on the abstract socket name for peers of uid.
// An abstract socket has no file whose mode could keep others out, so the
// kernel is asked who connected (SO_PEERCRED, unix(7)). Stop ends them all.
func (g *guest) listen(name string, uid uint32) (stop func(), err error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", name, err)
	}
	s := &sockets{guest: g, uid: uid, open: map[*wire.Conn]bool{}}
	var accepting sync.WaitGroup
	accepting.Go(func() { s.accept(listener) })
	return func() {
		_ = listener.Close()
		accepting.Wait()
		s.closeAll()
	}, nil
}

// sockets are the conversations on the socket.
type sockets struct {
	guest *guest
	uid   uint32

	mu   sync.Mutex // guards open
	open map[*wire.Conn]bool
}

func (s *sockets) accept(listener *net.UnixListener) {
	for {
		peer, err := listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-time.After(backoff) // out of descriptors for a moment
			continue
		}
		if uid, err := peerUID(peer); err != nil || uid != s.uid {
			_ = peer.Close()
			continue
		}
		conn := wire.NewConn(peer)
		if !s.add(conn) {
			_ = peer.SetDeadline(time.Now().Add(courtesy))
			_ = conn.WriteError(errCrowded)
			_ = conn.Close()
			continue
		}
		go func() {
			defer s.remove(conn)
			_ = (&conversation{guest: s.guest, conn: conn}).serve() // its peer was told
		}()
	}
}

func (s *sockets) add(conn *wire.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxConversations {
		return false
	}
	s.open[conn] = true
	return true
}

func (s *sockets) remove(conn *wire.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

func (s *sockets) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		_ = conn.Close()
	}
}

func peerUID(peer *net.UnixConn) (uint32, error) {
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
	return credentials.Uid, nil
}
