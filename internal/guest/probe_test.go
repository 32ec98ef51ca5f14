//go:build linux

package guest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

func withProbe(boot *wire.GuestBoot) { boot.Probe = true }

// alone leaves out what is not the guest's doing in a test.
var alone = []string{
	probe.Setting, probe.Device, probe.EngineSocket, probe.Capabilities, probe.Network, probe.User,
}

func request() wire.Probe {
	return wire.Probe{
		Deadline: time.Millisecond, Late: 10 * time.Second, UID: someUID, GID: someUID,
		Kernel: wire.Kernel{Seccomp: "2", NoNewPrivs: "1", Filters: 1, Skip: alone},
	}
}

// TestProbe: the child has the filter and sees the guest closed, and finds
// programs as an exec would.
func TestProbe(t *testing.T) {
	t.Parallel()
	b := launch(t, asUID(someUID), withBoot(withProbe))
	asked := request()
	asked.Program = "no-such-program"
	probed, err := b.Probe(deadline(t), asked)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, f := range probed.Findings {
		kinds[f.Kind] = true
		if f.Failed != (f.Kind == probe.Program) || f.Kind == probe.Program && f.Code != codeNotFound {
			t.Errorf("%+v", f)
		}
	}
	for _, kind := range []string{probe.Call, probe.Filter, probe.Privileges, probe.Memory, probe.Program} {
		if !kinds[kind] {
			t.Errorf("nothing about %q in %+v", kind, probed)
		}
	}
	if got := shell(t, b.GuestClient, "echo after"); got.stdout != "after\n" {
		t.Errorf("a process after the probe: %+v", got)
	}
	if _, err := b.Probe(deadline(t), request()); err == nil || !strings.Contains(err.Error(), "unexpected probe frame") {
		t.Errorf("a second probe: %v", err)
	}
}

func TestProbeIsForTheBootStreamAlone(t *testing.T) {
	t.Parallel()
	b := launch(t, withBoot(withProbe))
	if _, err := b.dial(t, 0).Probe(deadline(t), request()); err == nil || !strings.Contains(err.Error(), "unexpected probe frame") {
		t.Errorf("over the socket: %v", err)
	}
}

// TestLateDoorEndsTheBottle: a listener whose queue is full is silent until it
// takes somebody.
func TestLateDoorEndsTheBottle(t *testing.T) {
	t.Parallel()
	listener, address := fullListener(t)
	b := launch(t, asSubreaper, withBoot(withProbe))
	asked := request()
	asked.Doors = []wire.Door{{Kind: probe.EgressLeg, Address: address}}
	asked.Kernel.Skip = append(asked.Kernel.Skip, probe.Memory)
	probed, err := b.Probe(deadline(t), asked)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range probed.Findings {
		if f.Failed && !strings.HasSuffix(f.Target, "udp") { // nobody listens there, and says so
			t.Errorf("at the deadline: %+v", f)
		}
	}
	accepted, _, err := unix.Accept(listener)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(accepted) }()
	select {
	case <-b.Done():
	case <-deadline(t).Done():
		t.Fatal("the bottle lives on")
	}
	if err := b.Said(); err == nil || !strings.Contains(err.Error(), "a door that was silent is open") {
		t.Errorf("it said %v", err)
	}
}

func fullListener(t *testing.T) (int, netip.AddrPort) {
	t.Helper()
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(listener) })
	loopback := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(listener, loopback); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	filler, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(filler) })
	at := name.(*unix.SockaddrInet4)
	if err := unix.Connect(filler, at); err != nil {
		t.Fatal(err)
	}
	return listener, netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port)) //nolint:gosec // G115: a port
}
