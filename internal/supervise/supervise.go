//go:build linux

// Package supervise is the two processes that native bottles are made by: the
// supervisor, whose life is a bottle's, and `inside`, which stands in its network
// namespace first and becomes bubblewrap. What is told to them, package native
// decides; the gateway that a supervisor is comes from its caller.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/shares"
)

// Descriptors of `supervise`, beside the standard ones, which are the gateway's
// stream.
const (
	orderFD    = 3 + iota // the order of `inside`, when there is a run
	guestInFD             // the guest's standard input
	guestOutFD            // and output
	childFD               // where the supervisor says which process it started
	listenerFD            // the guest's socket
	controlFD             // the gateway's, for its control stream
	programFD             // the gateway's program
)

// Descriptors of `inside`, whose standard streams are the guest's.
const (
	insideWaysFD = 3 + iota // where the ways in are handed out
	insideOrderFD
	insideListenerFD
)

// Begin is a supervisor's beginning: it starts `inside`, and becomes the gateway
// by executing its program, which takes longer to start than this one does to
// get here. args are the run's id and the directory of its record.
func Begin(args []string) error {
	runtime.LockOSThread() // whose end is that of what it starts
	if len(args) != 2 {
		return errors.New("supervise is started by a launch alone")
	}
	unix.CloseOnExec(controlFD) // these are not for what is inside
	unix.CloseOnExec(programFD)
	if err := shed(); err != nil {
		return fmt.Errorf("close what was inherited: %w", err)
	}
	ways, started, err := startInside(args[0])
	if err != nil {
		return fmt.Errorf("start the bottle's namespaces: %w", err)
	}
	// From here on the kernel takes away what has ended.
	signal.Ignore(unix.SIGCHLD)
	argv := []string{"claude-bottle", Command, asGateway, args[0], args[1]}
	for _, fd := range []int{controlFD, ways, started.fd} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("keep a descriptor: %w", err)
		}
		argv = append(argv, strconv.Itoa(fd))
	}
	// By its descriptor, since its user need not be able to search the directories
	// that lead to it.
	path := "/proc/self/fd/" + strconv.Itoa(programFD)
	return fmt.Errorf("execute the gateway's program: %w", unix.Exec(path, argv, []string{}))
}

// Run is the process whose life is a bottle's, as Begin has it go on: it serves
// as the gateway until its standard input ends. When it ends, however that comes,
// the kernel kills what it started. args are the command's, for which IsGateway
// is true.
func Run(ctx context.Context, args []string, serve Serve) error {
	fds, err := kept(args)
	if err != nil {
		return err
	}
	signal.Ignore(unix.SIGCHLD) // Go's runtime has seen to it again
	// What ps shows; else it would be the descriptor's number.
	_ = os.WriteFile("/proc/self/comm", []byte("claude-bottle"), 0)
	end := os.NewFile(uintptr(fds[1]), "ways")
	conn, err := net.FileConn(end)
	_ = end.Close()
	if err != nil {
		return fmt.Errorf("take over the ways in: %w", err)
	}
	ways := conn.(*net.UnixConn)
	err = serve(ctx, ways, os.NewFile(uintptr(fds[0]), "control"), func() error {
		if err := awaitWays(ways); err != nil {
			return err
		}
		return within(confinePatience, func() error { return confineTo(args[3]) })
	})
	child{fd: fds[2]}.await()
	if err == nil { // there is nothing more to say, and whoever hears it need not wait for the rest
		err = unix.Close(2)
	}
	return err
}

// kept are the descriptors that Begin kept: the gateway's socket, the ways in,
// and the process that it started.
func kept(args []string) (fds []int, err error) {
	if len(args) != 7 {
		return nil, errors.New("a supervisor is a launch's alone")
	}
	for _, arg := range args[4:] {
		fd, err := strconv.Atoi(arg)
		if err != nil || fd < controlFD {
			return nil, fmt.Errorf("no descriptor: %q", arg)
		}
		unix.CloseOnExec(fd)
		fds = append(fds, fd)
	}
	return fds, nil
}

// confinePatience is how long all threads may take to be confined. It takes
// about a millisecond.
const confinePatience = 10 * time.Second

// shed closes what the launcher had open when it was started, by a shell or an
// editor: Go passes on all that does not close by itself, as each file of its own
// does. It is no gateway's, and would be in the way of what bubblewrap reads
// (TestInheritedDescriptorsGoNoFurther).
func shed() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= programFD {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			err = unix.Close(fd)
		}
		if err != nil && !errors.Is(err, unix.EBADF) { // that of /proc/self/fd itself
			return err
		}
	}
	return nil
}

// awaitWays waits until the ways in are handed out, or never will be: by then
// the bottle is staged, with the directory of its record.
func awaitWays(ways *net.UnixConn) error {
	raw, err := ways.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: 0}} //nolint:gosec // G115: a descriptor
		for {
			_, failed = unix.Poll(poll, -1)
			if !errors.Is(failed, unix.EINTR) {
				break
			}
		}
		if failed == nil && poll[0].Revents&unix.POLLIN == 0 && poll[1].Revents != 0 {
			failed = errors.New("the launcher is gone")
		}
	})
	return errors.Join(err, failed)
}

// startInside starts `inside` and returns the gateway's end of the socketpair
// that it has the other of. What is its alone is closed here.
func startInside(run string) (ways int, started child, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, child{}, err
	}
	files := []uintptr{guestInFD, guestOutFD, 2, uintptr(pair[1]), orderFD, listenerFD}
	err = shares.Together(func() (err error) {
		started, err = fork([]string{"claude-bottle", InsideCommand, run}, files)
		return err
	})
	for _, fd := range files {
		if fd != 2 {
			_ = unix.Close(int(fd)) //nolint:gosec // G115: a descriptor
		}
	}
	if err == nil {
		err = tell(started.pid)
	}
	return pair[0], started, err
}

// child is what a supervisor started.
type child struct{ pid, fd int }

// childPatience is how long a bottle may take to end by itself, as it does
// when its launcher has closed its streams, before it is killed.
const childPatience = 200 * time.Millisecond

// await lets the bottle end before its supervisor does, so that no dead process
// is left to whoever inherits it: the kernel takes away what has ended, since
// the signal of a child's death is ignored. What has not ended is killed with
// the supervisor.
func (c child) await() {
	poll := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}} //nolint:gosec // G115: a descriptor
	end := time.Now().Add(childPatience)
	for left := childPatience; left > 0; left = time.Until(end) {
		n, err := unix.Poll(poll, int(left/time.Millisecond))
		if n > 0 { // dead for nobody, or for us if it ended while the gateway's program started
			_ = unix.Waitid(unix.P_PIDFD, c.fd, nil, unix.WEXITED|unix.WNOHANG, nil)
		}
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// tell says which process was started.
func tell(pid int) error {
	file := os.NewFile(childFD, "child")
	_, err := fmt.Fprintf(file, "%d\n", pid)
	return errors.Join(err, file.Close())
}

// fork starts our program in a user, a network and a process namespace of its
// own, where it has the caller's ids and what it takes to bring up loopback, to
// listen on low ports and to set limits of the namespace. The kernel kills it when
// the thread that forked ends, which is the one that goes on as the gateway's
// program. With it ends all
// that is in its namespace: bubblewrap alone leaves a child that waits for good
// when it is killed while it starts.
func fork(argv []string, files []uintptr) (child, error) {
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		return child{}, errors.New("no namespace is made as root")
	}
	fd := -1
	pid, err := syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: files,
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWPID,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
			AmbientCaps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_RESOURCE},
			Pdeathsig:   syscall.SIGKILL,
			PidFD:       &fd,
		},
	})
	return child{pid, fd}, err
}
