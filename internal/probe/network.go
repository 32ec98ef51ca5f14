package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"claude-bottle/internal/wire"
)

// doors are checks of addresses that must not answer, over TCP and UDP.
func doors(list []wire.Door, word string) []check {
	var checks []check
	for _, door := range list {
		for _, address := range scoped(door.Address) {
			target := address.String()
			checks = append(checks,
				check{door.Kind, target + " tcp", true, func(ctx context.Context) outcome {
					return refusable(door.Kind, knockTCP(ctx, address))
				}},
				check{door.Kind, target + " udp", true, func(ctx context.Context) outcome {
					return refusable(door.Kind, knockUDP(ctx, address, word))
				}})
		}
	}
	return checks
}

// refusable closes a port that nobody listens on, of a machine that may be
// reached.
func refusable(kind string, o outcome) outcome {
	if kind == GatewayPort && o.refused {
		o.failed = false
	}
	return o
}

// scoped is a link-local address on each interface, since it means nothing
// without one; any other as it is.
func scoped(address netip.AddrPort) []netip.AddrPort {
	ip := address.Addr()
	if !ip.Is6() || !ip.IsLinkLocalUnicast() {
		return []netip.AddrPort{address}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return []netip.AddrPort{address}
	}
	var all []netip.AddrPort
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 {
			all = append(all, netip.AddrPortFrom(ip.WithZone(i.Name), address.Port()))
		}
	}
	return all
}

func knockTCP(ctx context.Context, address netip.AddrPort) outcome {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address.String())
	if err != nil {
		return judge(err)
	}
	_ = conn.Close()
	return open("connection accepted")
}

func knockUDP(ctx context.Context, address netip.AddrPort, word string) outcome {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", address.String())
	if err != nil {
		return judge(err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write([]byte(word)); err != nil {
		return judge(err)
	}
	if _, err := conn.Read(make([]byte, 64)); err != nil {
		return judge(err)
	}
	return open("answered")
}

// judge tells from an error whether somebody sent it: a reset, or the word
// that nobody listens on a port, comes from a machine that was reached.
func judge(err error) outcome {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return outcome{failed: true, refused: true, detail: "refused by whoever is there"}
	case errors.Is(err, syscall.ECONNRESET):
		return outcome{failed: true, refused: true, detail: "reset by whoever is there"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.Canceled), errors.Is(err, syscall.ETIMEDOUT):
		return closed("silence")
	}
	return closed(reason(err))
}

// reason is an error without what was tried.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	var operation *net.OpError
	if errors.As(err, &operation) {
		return operation.Err.Error()
	}
	return err.Error()
}
