package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"claude-bottle/internal/wire"
)

// everybody are the addresses of all machines on a link: the limited broadcast
// (RFC 919) and all systems (RFC 1112), whose group nobody has to join. A host
// that does not ask where packets come from takes them from a link on which it
// has no address.
var everybody = []netip.Addr{netip.AddrFrom4([4]byte{255, 255, 255, 255}), netip.AddrFrom4([4]byte{224, 0, 0, 1})}

// toEverybody is what is sent there, so that a canary knows it.
func toEverybody(word string) string { return word + " to everybody" }

// Everybody are the addresses of many at which the host's canary could hear.
func (h *Hosts) Everybody() []netip.AddrPort {
	all := make([]netip.AddrPort, len(everybody))
	for i, address := range everybody {
		all[i] = netip.AddrPortFrom(address, h.Port())
	}
	return all
}

// Overheard is what came of that, after the bottle has sent. warned says that
// the plan said that it would come.
func (h *Hosts) Overheard(warned bool) wire.Finding {
	c := check{kind: Broadcast, target: "datagrams to everybody, at the host"}
	heard := h.canary.overheard.Load()
	if heard == 0 {
		return closed("none came").in(c)
	}
	finding := open(fmt.Sprintf("%d came", heard)).in(c)
	finding.Failed, finding.Warned = !warned, warned
	return finding
}

// sendings are checks of what is sent to many. Without a network the kernel
// refuses it; with one it may leave, and the launcher's canary says whether it
// came anywhere.
func sendings(p wire.Probe) []check {
	var checks []check
	for _, address := range p.Everybody {
		checks = append(checks, check{Broadcast, address.String() + " udp", false, func(ctx context.Context) outcome {
			err := shout(ctx, address, toEverybody(p.Word))
			switch {
			case err != nil:
				return closed(reason(err))
			case p.Alone:
				return open("it was sent")
			}
			return closed("sent; whether it came, the host says")
		}})
	}
	return checks
}

func shout(ctx context.Context, address netip.AddrPort, what string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", address.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte(what))
	return err
}
