package handover

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(insideEnv); path != "" {
		os.Exit(inside(path)) //nolint:forbidigo // this process is no test
	}
	goleak.VerifyTestMain(m)
}

// ports are above 1024, on an address of the test's own: nobody else is there.
var ports = wire.Ports{Proxy: 3128, SOCKS: 1080, DNS: 5353, HTTP: 8080, TLS: 8443}

func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	b := [4]byte{127}
	if _, err := rand.Read(b[1:]); err != nil {
		t.Fatal(err)
	}
	b[3] |= 2 // neither the first address nor the last
	b[3] &^= 1
	return netip.AddrFrom4(b)
}

func wanted(t *testing.T) Want {
	return Want{Nonce: rand.Text(), UID: os.Getuid(), Address: ownAddress(t), Ports: ports}
}

// within bounds a test that hangs.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestHandover(t *testing.T) {
	ctx, want := within(t), wanted(t)
	path := filepath.Join(t.TempDir(), "door")
	sent := make(chan error, 1)
	go func() {
		sockets, err := Open(want.Address, want.Ports)
		if err != nil {
			sent <- err
			return
		}
		conn, err := Dial(ctx, path) // the door may not be there yet
		if err == nil {
			err = sockets.Send(ctx, conn, want.Nonce)
		}
		sent <- err
	}()
	door, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	set, err := door.Receive(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the door's socket is still there: %v", err)
	}
	for port, listener := range map[int]net.Listener{
		ports.Proxy: set.Proxy, ports.SOCKS: set.SOCKS, ports.HTTP: set.HTTP, ports.TLS: set.TLS, ports.DNS: set.DNS,
	} {
		go serveOne(listener)
		hears(t, ctx, "tcp", want.Address, port)
	}
	go answerOne(set.Packets)
	hears(t, ctx, "udp", want.Address, ports.DNS)

	// Nobody but the set holds them: with it the ways in are gone.
	if err := set.Close(); err != nil {
		t.Error(err)
	}
	for _, port := range []int{ports.Proxy, ports.SOCKS, ports.HTTP, ports.TLS, ports.DNS} {
		_, err := new(net.Dialer).DialContext(ctx, "tcp", at(want.Address, port))
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("port %d after the end: %v", port, err)
		}
	}
}

const word = "served"

func serveOne(l net.Listener) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, word)
	_ = conn.Close()
}

func answerOne(packets net.PacketConn) {
	if _, from, err := packets.ReadFrom(make([]byte, 8)); err == nil {
		_, _ = packets.WriteTo([]byte(word), from)
	}
}

func hears(t *testing.T, ctx context.Context, network string, address netip.Addr, port int) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(ctx, network, at(address, port))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if network == "udp" {
		_, _ = conn.Write([]byte("?"))
	}
	said := make([]byte, len(word)+1)
	if n, err := io.ReadAtLeast(conn, said, len(word)); err != nil || string(said[:n]) != word {
		t.Errorf("%s port %d: %q, %v", network, port, said[:n], err)
	}
}

func at(address netip.Addr, port int) string {
	return netip.AddrPortFrom(address, uint16(port)).String()
}

// handing is one way to hand over what is not wanted.
type handing struct {
	name  string
	nonce func(nonce string) string
	alter func(t *testing.T, want Want, fds []int) []int
	again bool // a second message
	uid   int  // added to the wanted one
	fails string
}

func handings() []handing {
	replace := func(i int, make func(t *testing.T, want Want) int) func(*testing.T, Want, []int) []int {
		return func(t *testing.T, want Want, fds []int) []int {
			_ = unix.Close(fds[i])
			fds[i] = make(t, want)
			return fds
		}
	}
	return []handing{
		{name: "another nonce", nonce: func(string) string { return rand.Text() }, fails: "nonce"},
		{name: "a part of the nonce", nonce: func(n string) string { return n[:len(n)-1] }, fails: "nonce"},
		{name: "more than the nonce", nonce: func(n string) string { return n + "." }, fails: "nonce"},
		{name: "no nonce", nonce: func(string) string { return "" }, fails: "nonce"},
		{name: "a long message", nonce: func(n string) string { return n + strings.Repeat(".", 200) }, fails: "too long"},
		{name: "another user", uid: 1, fails: "uid"},
		{name: "two messages", again: true, fails: "more than one message"},
		{name: "no descriptor", alter: func(*testing.T, Want, []int) []int { return nil }, fails: "0 descriptors"},
		{name: "one too few", alter: func(_ *testing.T, _ Want, fds []int) []int { return fds[:5] }, fails: "5 descriptors"},
		{name: "one too many", alter: func(_ *testing.T, _ Want, fds []int) []int { return append(fds, fds[0]) }, fails: "7 descriptors"},
		{name: "many too many", alter: func(_ *testing.T, _ Want, fds []int) []int {
			for range 5 {
				fds = append(fds, fds[:6]...)
			}
			return fds
		}, fails: "too long"},
		{name: "another order", alter: func(_ *testing.T, _ Want, fds []int) []int {
			fds[0], fds[1] = fds[1], fds[0]
			return fds
		}, fails: "proxy: a socket that is bound elsewhere"},
		{name: "a file", alter: replace(2, func(t *testing.T, _ Want) int {
			fd, err := unix.Open(t.TempDir(), unix.O_RDONLY, 0)
			return must(t, fd, err)
		}), fails: "http: socket operation on non-socket"},
		{name: "a unix socket", alter: replace(2, func(t *testing.T, _ Want) int {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			return must(t, fd, err)
		}), fails: "http: a socket whose family"},
		{name: "packets for a stream", alter: replace(3, func(t *testing.T, want Want) int {
			return bound(t, unix.SOCK_DGRAM, want.Address, ports.TLS)
		}), fails: "tls: a socket whose type"},
		{name: "a socket that does not listen", alter: replace(3, func(t *testing.T, want Want) int {
			return bound(t, unix.SOCK_STREAM, want.Address, ports.TLS)
		}), fails: "tls: a socket whose listening"},
		{name: "all addresses", alter: replace(0, func(t *testing.T, _ Want) int {
			return listening(t, netip.IPv4Unspecified(), 0)
		}), fails: "proxy: a socket that is bound elsewhere"},
		{name: "another address", alter: replace(0, func(t *testing.T, want Want) int {
			return listening(t, want.Address.Next(), ports.Proxy)
		}), fails: "proxy: a socket that is bound elsewhere"},
		{name: "another port", alter: replace(0, func(t *testing.T, want Want) int {
			return listening(t, want.Address, ports.Proxy+1)
		}), fails: "proxy: a socket that is bound elsewhere"},
		{name: "packets that are connected", alter: replace(5, func(t *testing.T, want Want) int {
			fd := bound(t, unix.SOCK_DGRAM, want.Address, ports.DNS)
			to := &unix.SockaddrInet4{Addr: want.Address.As4(), Port: 9}
			return must(t, fd, unix.Connect(fd, to))
		}), fails: "dns over udp: a socket that is connected"},
	}
}

func must(t *testing.T, fd int, err error) int {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func bound(t *testing.T, kind int, address netip.Addr, port int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, kind, 0)
	must(t, fd, err)
	return must(t, fd, unix.Bind(fd, &unix.SockaddrInet4{Addr: address.As4(), Port: port}))
}

func listening(t *testing.T, address netip.Addr, port int) int {
	t.Helper()
	fd := bound(t, unix.SOCK_STREAM, address, port)
	return must(t, fd, unix.Listen(fd, 1))
}

func TestOnlyWhatIsWanted(t *testing.T) {
	for _, h := range handings() {
		t.Run(h.name, func(t *testing.T) {
			ctx, want := within(t), wanted(t)
			open := openDescriptors(t)
			sockets, err := Open(want.Address, want.Ports)
			if err != nil {
				t.Fatal(err)
			}
			nonce := want.Nonce
			if h.nonce != nil {
				nonce = h.nonce(nonce)
			}
			fds := sockets.fds
			if h.alter != nil {
				fds = h.alter(t, want, fds)
			}
			ours, theirs := pair(t)
			if _, _, err := ours.WriteMsgUnix([]byte(nonce), unix.UnixRights(fds...), nil); err != nil {
				t.Fatal(err)
			}
			if h.again {
				if _, err := ours.Write([]byte("more")); err != nil {
					t.Fatal(err)
				}
			}
			_ = ours.Close()
			for _, fd := range append(fds, sockets.fds...) {
				_ = unix.Close(fd)
			}
			want.UID += h.uid
			set, err := Receive(ctx, theirs, want)
			if err == nil {
				_ = set.Close()
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), h.fails) {
				t.Errorf("%v, not for its %s", err, h.fails)
			}
			if left := openDescriptors(t); left != open {
				t.Errorf("%d descriptors are open, %d were before", left, open)
			}
		})
	}
}

// pair is a socketpair.
func pair(t *testing.T) (ours, theirs *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		conn, err := net.FileConn(file)
		_ = file.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = conn.(*net.UnixConn)
		t.Cleanup(func() { _ = conn.Close() })
	}
	return ends[0], ends[1]
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// Whoever comes first is the only one: the door does not open again.
func TestDoorOpensOnce(t *testing.T) {
	ctx, want := within(t), wanted(t)
	path := filepath.Join(t.TempDir(), "door")
	door, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := Dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	if _, err := door.Receive(ctx, want); err == nil {
		t.Fatal("nothing was taken for the ways in")
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the door's socket is still there: %v", err)
	}
	if _, err := door.Receive(ctx, want); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the door opened again: %v", err)
	}
}

func TestDoorIsNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "door")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if door, err := Listen(path); err == nil {
		_ = door.Close()
		t.Error("it took the place of another file")
	}
}

// Nobody comes, or comes and says nothing: the context ends the wait.
func TestWaitsEnd(t *testing.T) {
	cause := errors.New("enough")
	ended := func() context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Millisecond, func() { cancel(cause) })
		return ctx
	}
	path := filepath.Join(t.TempDir(), "door")
	if _, err := Dial(ended(), path); !errors.Is(err, cause) {
		t.Errorf("dial: %v", err)
	}
	door, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := door.Receive(ended(), wanted(t)); !errors.Is(err, cause) {
		t.Errorf("a door to which nobody comes: %v", err)
	}
	_, theirs := pair(t)
	if _, err := Receive(ended(), theirs, wanted(t)); !errors.Is(err, cause) {
		t.Errorf("a peer that says nothing: %v", err)
	}
}

func TestOpenAllOrNothing(t *testing.T) {
	address := ownAddress(t)
	open := openDescriptors(t)
	taken := listening(t, address, ports.TLS)
	if sockets, err := Open(address, ports); err == nil || !strings.Contains(err.Error(), "tls") {
		sockets.Close()
		t.Errorf("a port that is taken: %v", err)
	}
	_ = unix.Close(taken)
	if left := openDescriptors(t); left != open {
		t.Errorf("%d descriptors are open, %d were before", left, open)
	}
}
