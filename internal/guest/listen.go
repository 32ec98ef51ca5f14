//go:build linux

package guest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

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
func (g *guest) listen(name string, uid int) (stop func(), err error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", name, err)
	}
	return g.serveSocket(listener, func(peer int) bool { return peer == uid }), nil
}

// inheritedListener is the descriptor of GuestBoot.Listener.
const inheritedListener = 3

// inherit serves conversations on a socket whose file is outside the bottle,
// where its directory and its mode say who may connect: nobody inside can.
func (g *guest) inherit() (stop func(), err error) {
	file := os.NewFile(inheritedListener, "conversations")
	inherited, err := net.FileListener(file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("take over the socket of conversations: %w", err)
	}
	listener, ok := inherited.(*net.UnixListener)
	if !ok {
		_ = inherited.Close()
		return nil, errors.New("take over the socket of conversations: it is no unix socket")
	}
	listener.SetUnlinkOnClose(false)
	return g.serveSocket(listener, func(int) bool { return true }), nil
}

func (g *guest) serveSocket(listener *net.UnixListener, allowed func(uid int) bool) (stop func()) {
	s := &sockets{guest: g, allowed: allowed, open: map[*wire.Conn]bool{}}
	var accepting sync.WaitGroup
	accepting.Go(func() { s.accept(listener) })
	return func() {
		_ = listener.Close()
		accepting.Wait()
		s.closeAll()
	}
}

// sockets are the conversations on the socket.
type sockets struct {
	guest   *guest
	allowed func(uid int) bool

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
		if uid, err := wire.PeerUID(peer); err != nil || !s.allowed(uid) {
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
