package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"claude-bottle/internal/wire"
)

// Hosts are the launcher's canary: one listener on every address that the host
// has, or gets.
type Hosts struct {
	canary *Canary
	word   string
}

// OpenHosts makes it. The caller closes it when the guest has probed.
func OpenHosts(ctx context.Context, word string) (*Hosts, error) {
	canary, err := Listen(ctx, netip.IPv6Unspecified(), word)
	if err != nil { // no IPv6 on this host
		canary, err = Listen(ctx, netip.IPv4Unspecified(), word)
	}
	if err != nil {
		return nil, fmt.Errorf("make the canary of the host: %w", err)
	}
	return &Hosts{canary, word}, nil
}

// Close ends the canary.
func (h *Hosts) Close() error { return h.canary.Close() }

// Port is the canary's.
func (h *Hosts) Port() uint16 { return h.canary.Port() }

// Doors are the host's addresses, but for loopback, which every machine has
// for itself. They are read now, so that bridges that were just made are among
// them.
func (h *Hosts) Doors() ([]wire.Door, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	var doors []wire.Door
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil || isPort(i.Name) {
			continue // it went away just now; or its bridge has the addresses that count
		}
		for _, address := range addresses {
			prefix, err := netip.ParsePrefix(address.String())
			if err != nil || prefix.Addr().IsLoopback() {
				continue
			}
			ip := prefix.Addr().Unmap()
			if ip.IsLinkLocalUnicast() && ip.Is6() {
				ip = ip.WithZone(i.Name)
			}
			doors = append(doors, wire.Door{Kind: Host, Address: netip.AddrPortFrom(ip, h.Port())})
		}
	}
	return doors, nil
}

// isPort says whether an interface is a port of a bridge, as each container's
// is: what reaches the host through it reaches the bridge's addresses.
func isPort(name string) bool {
	_, err := os.Stat("/sys/class/net/" + name + "/master")
	return err == nil
}

// Control shows from the host itself that its canary answers on the doors, so
// that a bottle would reach it there. An address that not even the host
// reaches, as of an interface that is down, is no door; that none is reached
// shows nothing, and fails.
func (h *Hosts) Control(ctx context.Context, doors []wire.Door) wire.Finding {
	c := check{kind: Control, target: "the host's canary"}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	heard := make(chan error, len(doors))
	for _, door := range doors {
		go func() { heard <- Hear(ctx, door.Address, h.word) }() // ends with ctx
	}
	reached := 0
	var first error
	var enough <-chan time.Time // not before one was heard
	for range doors {
		select {
		case err := <-heard:
			if err == nil && reached == 0 {
				enough = time.After(Deadline)
			}
			if err == nil {
				reached++
			} else if first == nil {
				first = err
			}
			continue
		case <-enough:
		}
		break
	}
	if reached == 0 && len(doors) > 0 {
		return broken(fmt.Sprintf("the host itself cannot reach it: %v", first)).in(c)
	}
	return works(fmt.Sprintf("heard on %d of %d addresses", reached, len(doors))).in(c)
}
