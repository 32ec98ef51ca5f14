package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/policy"
)

// half is an origin's side of a tunnel, whose first byte says what it does. It
// stays until it is over.
func half(conn net.Conn, over <-chan struct{}) {
	said := make([]byte, 1)
	if _, err := io.ReadFull(conn, said); err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	switch said[0] {
	case 'e': // ends
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	case 's': // is silent
		_, _ = io.Copy(io.Discard, conn)
	case 'b': // says more than anybody takes
		_, _ = io.Copy(conn, zeros{})
	case 'd': // is deaf
	}
	<-over
}

// Clients and origins that have ended one direction, or take nothing, cost
// nothing as long as they stay: whatever the gateway waits for, it does not ask
// again and again.
func TestNothingSpins(t *testing.T) {
	w := newWorld()
	over := make(chan struct{})
	w.host("raw.example", 9000, listen(t, func(conn net.Conn) { half(conn, over) }))
	e := everything("a.example")
	e.Rules = append(e.Rules, policy.Rule{Host: "raw.example", Port: 9000, TCP: true, Source: "test"})
	f := inspectWorld(t, w, e)
	f.serve(w, "a.example", func(http.ResponseWriter, *http.Request) { <-over })
	t.Cleanup(func() { close(over) })

	tunnel := func(first string) *net.TCPConn {
		conn, code := f.overSOCKS(socksTo("raw.example", 9000) + first)
		if code != 0 {
			t.Fatalf("the tunnel is refused: %d", code)
		}
		_ = conn.SetDeadline(time.Time{})
		return conn.(*net.TCPConn)
	}
	ended := func(conn *net.TCPConn) {
		if err := conn.CloseWrite(); err != nil {
			t.Error(err)
		}
	}
	ended(tunnel("s"))                                              // the client ended, the origin is silent
	tunnel("e")                                                     // the origin ended, the client is silent
	tunnel("b")                                                     // the client reads nothing of what does not end
	ended(tunnel("b"))                                              // and ended besides
	go func(c net.Conn) { _, _ = io.Copy(c, zeros{}) }(tunnel("d")) // the origin reads nothing; ends with the client
	raw := dial(t, f.proxy).(*net.TCPConn)                          // a request whose client ended, and whose answer does not come
	_, _ = io.WriteString(raw, "CONNECT raw.example:9000 HTTP/1.1\r\nHost: raw.example:9000\r\n\r\n")
	ended(raw)
	for _, protocol := range versions {
		conn := tls.Client(dial(t, f.tls), &tls.Config{ServerName: "a.example", RootCAs: f.roots, NextProtos: []string{protocol}})
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n") // nonsense in HTTP/2
		if err := conn.CloseWrite(); err != nil {
			t.Error(err)
		}
	}
	for _, address := range []string{f.proxy, f.http, f.tls, f.dnsTCP} {
		ended(dial(t, address).(*net.TCPConn))
		_, _ = io.WriteString(dial(t, address), "\x05") // and goes on no further
	}

	const most = 150 * time.Millisecond // of one second
	used := time.Duration(0)
	for range 10 { // what began them has to come to rest first
		before := processorTime(t)
		<-time.After(time.Second)
		if used = processorTime(t) - before; used < most {
			return
		}
	}
	t.Errorf("connections on which nothing happens take %v of each second", used)
}

// processorTime is this process's so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// failing counts how often it is asked for what it does not give.
type failing struct {
	err   error
	asked int
}

func (f *failing) fail() error {
	f.asked++
	return f.err
}

type failingListener struct {
	net.Listener
	failing
}

func (f *failingListener) Accept() (net.Conn, error) { return nil, f.fail() }

type failingPackets struct {
	net.PacketConn
	failing
}

func (f *failingPackets) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, f.fail() }

// A process without descriptors left, or memory, asks for more of them a
// hundred times a second and no oftener.
func TestFailingSocketsDoNotSpin(t *testing.T) {
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			s := &server{}
			tcp, udp := &failingListener{}, &failingPackets{}
			tcp.err, udp.err = &net.OpError{Op: "accept", Err: err}, &net.OpError{Op: "read", Err: err}
			var both errgroup.Group
			both.Go(func() error { return s.accept(ctx, tcp, nil) })
			both.Go(func() error { return dnsServer{server: s}.servePackets(ctx, udp) })
			if err := both.Wait(); err != nil {
				t.Error(err)
			}
			for _, socket := range []*failing{&tcp.failing, &udp.failing} {
				if socket.asked < 2 || socket.asked > 110 {
					t.Errorf("%s: asked %d times in a second", err, socket.asked)
				}
			}
		})
	}
}
