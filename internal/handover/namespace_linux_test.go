package handover

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// insideEnv holds the path of the door for the process inside.
const insideEnv = "HANDOVER_TEST_DOOR"

// A process in a network namespace of its own, which has nothing but loopback,
// is served from outside, on the ports that bottles have.
func TestServedFromOutside(t *testing.T) {
	ctx := within(t)
	path := filepath.Join(t.TempDir(), "door")
	door, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	child := exec.CommandContext(ctx, "/proc/self/exe")
	child.Env = append(os.Environ(), insideEnv+"="+path)
	child.Stderr = os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatalf("start a process in namespaces of its own: %v", err)
	}
	want := Want{Nonce: insideNonce, UID: os.Getuid(), Address: Address(), Ports: wire.StandardPorts}
	set, err := door.Receive(ctx, want)
	if err == nil {
		defer set.Close()
		go serveOne(set.HTTP)
		go answerOne(set.Packets)
	}
	heard, _ := io.ReadAll(out)
	if ended := child.Wait(); err != nil || ended != nil {
		t.Fatalf("receive: %v; the process inside: %v", err, ended)
	}
	if string(heard) != word+word {
		t.Errorf("inside was heard %q", heard)
	}
}

const insideNonce = "the test's nonce"

// inside is the process inside: it hands over, and then asks.
func inside(path string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := func() error {
		if err := loopbackUp(); err != nil {
			return err
		}
		sockets, err := Open(Address(), wire.StandardPorts)
		if err != nil {
			return err
		}
		conn, err := Dial(ctx, path)
		if err != nil {
			return err
		}
		if err := sockets.Send(ctx, conn, insideNonce); err != nil {
			return err
		}
		for network, port := range map[string]int{"tcp": wire.StandardPorts.HTTP, "udp": wire.StandardPorts.DNS} {
			if err := ask(ctx, network, port); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func ask(ctx context.Context, network string, port int) error {
	conn, err := new(net.Dialer).DialContext(ctx, network, at(Address(), port))
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if _, err := conn.Write([]byte("?")); err != nil {
		return err
	}
	said := make([]byte, len(word))
	if _, err := io.ReadFull(conn, said); err != nil {
		return err
	}
	_, err = os.Stdout.Write(said)
	return err
}

// loopbackUp brings lo up (netdevice(7)), as runtimes do.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}
