package probe

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// Gateway is a gateway's look at itself, and at others of its kind. It hears
// its own canaries, too. listeners are all that it should listen on, and
// process is the name in /proc of who serves them.
func Gateway(ctx context.Context, p wire.GatewayProbe, canaries []wire.Canary, word string, listeners []netip.AddrPort, process string) wire.Probed {
	one := func(c check, try func() outcome) func() []wire.Finding {
		return func() []wire.Finding {
			if slices.Contains(p.Skip, c.kind) {
				return nil // not looked at: the sockets of a whole host take milliseconds
			}
			return []wire.Finding{try().in(c)}
		}
	}
	local := []func() []wire.Finding{
		func() []wire.Finding { return gatewayIdentity(process, p.UID, p.Kernel) },
		one(check{kind: GatewayPort, target: "the gateway's listeners"}, func() outcome { return listening(listeners) }),
		one(check{kind: Forwarding, target: "packets between the gateway's legs"}, forwarding),
		one(check{kind: Setting, target: "the gateway's root"}, rootIsReadOnly),
		one(check{kind: Memory, target: "memory of the gateway"}, notDumpable),
		func() []wire.Finding { return unopened(p.Files) },
	}
	// What comes late is the gateway's own concern no longer: nobody in it is
	// to be kept from anything.
	checks := doors(p.Doors, word)
	for _, canary := range canaries {
		c := check{kind: Control, target: fmt.Sprintf("the gateway's canary on %s, to itself", canary.Leg.Addr())}
		c.try = func(ctx context.Context) outcome {
			if err := Hear(ctx, canary.Address(), word); err != nil {
				return broken(err.Error())
			}
			return works("heard")
		}
		checks = append(checks, c)
	}
	probed, _ := run(ctx, trial{checks: checks, local: local, skip: p.Skip, deadline: p.Deadline})
	return probed
}

func gatewayIdentity(process string, uid int, kernel wire.Kernel) []wire.Finding {
	path := "/proc/" + process + "/status"
	status, err := os.ReadFile(path)
	if err != nil {
		return []wire.Finding{open(path + ": " + reason(err)).in(check{kind: Capabilities, target: "of the gateway"})}
	}
	fields := parseStatus(string(status))
	is := closed("so the kernel says")
	if got := strings.Fields(fields["Uid"]); uid == 0 || slices.ContainsFunc(got, func(id string) bool { return id != strconv.Itoa(uid) }) {
		is = open("its uids are " + fields["Uid"])
	}
	return []wire.Finding{
		is.in(check{kind: User, target: "of the gateway"}),
		capabilities(fields, kernel).in(check{kind: Capabilities, target: "of the gateway"}),
		privileges(fields, kernel).in(check{kind: Privileges, target: "of the gateway"}),
		filter(fields, kernel).in(check{kind: Filter, target: "of the gateway"}),
	}
}

// Of /proc/net/tcp and udp (proc(5), the kernel's tcp_states.h).
const (
	stateListen  = "0A"
	stateUnbound = "07" // a UDP socket that is connected to nobody
)

// listening checks that the gateway's namespace holds no open socket but those
// that it should.
func listening(allowed []netip.AddrPort) outcome {
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile("/proc/self/net/" + table)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return open(reason(err))
		}
		for _, at := range bound(string(text)) {
			// Nobody but the namespace itself reaches its loopback, where the
			// engine's name server is.
			if !at.Addr().IsLoopback() && !slices.Contains(allowed, at) {
				return open(fmt.Sprintf("something listens on %s %s", at, table))
			}
		}
	}
	return closed(fmt.Sprintf("%d, all where they should be", len(allowed)))
}

// bound reads the addresses of sockets that take from anybody.
func bound(table string) []netip.AddrPort {
	var found []netip.AddrPort
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != stateListen && fields[3] != stateUnbound {
			continue
		}
		address, port, _ := strings.Cut(fields[1], ":")
		if at, ok := kernelAddress(address, port); ok {
			found = append(found, at)
		}
	}
	return found
}

// kernelAddress reads an address of such a table: words of 4 bytes, each the
// lowest byte first.
func kernelAddress(address, port string) (netip.AddrPort, bool) {
	raw, err := hex.DecodeString(address)
	number, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), ok
}

// unopened checks that the gateway opens none of files, which are there.
func unopened(files []string) []wire.Finding {
	var findings []wire.Finding
	for _, path := range files {
		c := check{kind: Files, target: path + " by the gateway"}
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			findings = append(findings, closed(reason(err)).in(c))
			continue
		}
		_ = unix.Close(fd)
		findings = append(findings, open("it can be opened").in(c))
	}
	return findings
}

// forwarding checks that the kernel carries nothing from one leg to the other.
func forwarding() outcome {
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) && strings.Contains(path, "ipv6") {
			continue
		}
		if err != nil {
			return open(path + ": " + reason(err))
		}
		if value := strings.TrimSpace(string(text)); value != "0" {
			return open(path + " is " + value)
		}
	}
	return closed("switched off")
}

// rootIsReadOnly reads /proc/self/mountinfo, proc(5): the fifth field of a
// line is where it is mounted, the sixth how. Of several the last counts.
func rootIsReadOnly() outcome {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return open(reason(err))
	}
	root := open("it is not mounted")
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[4] != "/" {
			continue
		}
		root = open("it can be written to")
		if slices.Contains(strings.Split(fields[5], ","), "ro") {
			root = closed("read-only")
		}
	}
	return root
}

func notDumpable() outcome {
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return open(reason(err))
	}
	if dumpable != 0 {
		return open("others of its uid may read it")
	}
	return closed("closed to its own uid")
}
