//go:build linux

package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/handover"
	"claude-bottle/internal/wire"
)

// Order is what the launcher tells `inside` once everything is staged. It holds
// no secret.
type Order struct {
	Word       string     `json:"word"` // the launch's, for the handover
	Ports      wire.Ports `json:"ports"`
	Bubblewrap string     `json:"bubblewrap"`
	Args       []string   `json:"args"`
	Contents   []Content  `json:"contents"`
	PIDs       int64      `json:"pids"`
	Nested     bool       `json:"nested,omitempty"`
}

// maxOrder bounds an order, in bytes.
const maxOrder = 1 << 20

// MaxGroups is more control groups than a bottle is ever in.
const MaxGroups = 8

// Content is a file that bubblewrap writes into the bottle: from a file of the
// host's, or from Data when that is empty.
type Content struct {
	Source string `json:"source,omitempty"`
	Data   string `json:"data,omitempty"`
	Target string `json:"target"`
}

// FirstContentFD is the descriptor from which bubblewrap reads the first of an
// order's contents; each has the next.
const FirstContentFD = 64

// guestListenerFD is where the guest expects its socket.
const guestListenerFD = 3

// Inside is the process that stands in the bottle's network namespace first. It
// opens the ways in and hands them out, and when the order comes it becomes
// bubblewrap, which starts the guest.
func Inside(ctx context.Context, args []string) error {
	runtime.LockOSThread() // capabilities and the signal of a parent's death are a thread's
	if len(args) != 1 {
		return errors.New("inside is started by a supervisor alone")
	}
	if err := raiseLoopback(handover.Address()); err != nil {
		return fmt.Errorf("bring up loopback: %w", err)
	}
	if err := boundShared(); err != nil {
		return fmt.Errorf("bound what the bottle shares with its user: %w", err)
	}
	ports := wire.StandardPorts
	sockets, err := handover.Open(handover.Address(), ports)
	if err != nil {
		return err
	}
	defer sockets.Close()
	order, groups, err := readOrder(os.NewFile(insideOrderFD, "order"))
	if err != nil {
		return fmt.Errorf("read the launcher's order: %w", err)
	}
	conn, err := net.FileConn(os.NewFile(insideWaysFD, "ways"))
	if err != nil {
		return fmt.Errorf("hand the ways in over: %w", err)
	}
	if err := sockets.Send(ctx, conn.(*net.UnixConn), order.Word); err != nil {
		return err
	}
	for _, group := range groups {
		if err := joinGroup(group); err != nil {
			return fmt.Errorf("join a control group: %w", err)
		}
	}
	return become(order)
}

// joinGroup puts the calling process into the control group whose file
// cgroup.procs was opened as fd. What counts is who opened it (CVE-2021-4197).
func joinGroup(fd int) error {
	_, err := unix.Write(fd, []byte("0"))
	return err
}

// readOrder returns the order, and the descriptors of files by which control
// groups are joined, which came with its first bytes.
func readOrder(from *os.File) (o Order, groups []int, err error) {
	defer func() { _ = from.Close() }()
	data, rights := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(MaxGroups*4))
	fd := int(from.Fd()) //nolint:gosec // G115: a descriptor
	var n, m, flags int
	for {
		if n, m, flags, _, err = unix.Recvmsg(fd, data, rights, unix.MSG_CMSG_CLOEXEC); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return o, nil, err
	}
	if n == 0 {
		return o, nil, errors.New("it did not come")
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return o, nil, errors.New("it takes too many files along")
	}
	if groups, err = filesIn(rights[:m]); err != nil {
		return o, nil, err
	}
	rest, err := io.ReadAll(io.LimitReader(from, maxOrder))
	if err != nil {
		return o, nil, err
	}
	return o, groups, json.Unmarshal(append(data[:n], rest...), &o)
}

func filesIn(rights []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	for i := range messages {
		var some []int
		if err == nil {
			some, err = unix.ParseUnixRights(&messages[i])
		}
		fds = append(fds, some...)
	}
	return fds, err
}

// raiseLoopback sets the flag IFF_UP (netdevice(7)), which CAP_NET_ADMIN over
// the namespace allows, and gives loopback the gateway's address by name: on a
// host that has 127.0.0.1 alone getaddrinfo(3) finds no IPv4 address for a
// program that asks with AI_ADDRCONFIG for nothing else.
func raiseLoopback(gateway netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_LOOPBACK | unix.IFF_RUNNING)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(request)))
	runtime.KeepAlive(request)
	if errno != 0 {
		return errno
	}
	alias, err := unix.NewIfreq("lo:1")
	if err != nil {
		return err
	}
	four := gateway.As4()
	if err := alias.SetInet4Addr(four[:]); err != nil {
		return err
	}
	_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(alias)))
	runtime.KeepAlive(alias)
	if errno != 0 {
		return errno
	}
	return nil
}

// become gives up what let this process make the ways in, and executes
// bubblewrap. It returns an error or not at all.
func become(o Order) error {
	if o.Nested {
		if err := boundNamespaces(); err != nil {
			return fmt.Errorf("limit the number of namespaces: %w", err)
		}
	}
	// Counted in this user namespace and those below it: outside, the person's
	// other processes would count (getrlimit(2), Linux 5.14).
	limit := uint64(o.PIDs) //nolint:gosec // G115: a positive number
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		return fmt.Errorf("limit the number of processes: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	// A table of descriptors of its own, since this thread's will be the process's:
	// one that threads share grows past 64 no sooner than the kernel has waited for
	// all of its processors (expand_files in fs/file.c), which takes 10 ms when they
	// rest. Where this is refused it is only waited for.
	_ = unix.Unshare(unix.CLONE_FILES)
	// Nothing goes on but the streams, the guest's socket, and what bubblewrap
	// reads and closes.
	if err := unix.CloseRange(guestListenerFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	if err := unix.Dup3(insideListenerFD, guestListenerFD, 0); err != nil {
		return err
	}
	for i, c := range o.Contents {
		if err := c.open(FirstContentFD + i); err != nil {
			return fmt.Errorf("open %s: %w", c.Target, err)
		}
	}
	// This thread is the process from here on, and has no such signal yet.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	argv := append([]string{"bwrap"}, o.Args...)
	return fmt.Errorf("execute %s: %w", o.Bubblewrap, unix.Exec(o.Bubblewrap, argv, []string{}))
}

// open makes the content readable as a descriptor.
func (c Content) open(as int) error {
	fd, err := c.reader()
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	got, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, as)
	if err == nil && got != as {
		err = fmt.Errorf("descriptor %d is taken", as)
	}
	return err
}

func (c Content) reader() (fd int, err error) {
	if c.Source != "" {
		return unix.Open(c.Source, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	}
	if fd, err = unix.MemfdCreate("content", unix.MFD_CLOEXEC); err != nil {
		return fd, err
	}
	for data := []byte(c.Data); err == nil && len(data) > 0; {
		var n int
		if n, err = unix.Pwrite(fd, data, int64(len(c.Data)-len(data))); err == nil {
			data = data[n:]
		}
	}
	if err != nil {
		_ = unix.Close(fd)
	}
	return fd, err
}
