//go:build linux

package attacks

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// gatewayPorts are those that a gateway serves (docs/gateway.md).
var gatewayPorts = []uint16{53, 80, 443, 1080, 3128}

func gatewayAttacks() []Attack {
	return []Attack{
		{ID: "gateway/ports", What: "find other TCP ports of the gateway: those below 1024 and well-known ones", try: func(ctx context.Context, t Targets) result {
			ports := []uint16{1194, 2375, 2376, 3000, 3306, 4243, 5000, 5432, 6060, 6379, 8000, 8080, 8443, 8888, 9000, 9090, 9100, 11211, 50051}
			for port := range uint16(1024) {
				ports = append(ports, port+1)
			}
			return scan(ctx, t, ports)
		}},
		{ID: "gateway/all-ports", What: "find other TCP ports of the gateway: all of them", Full: true, try: func(ctx context.Context, t Targets) result {
			var ports []uint16
			for port := 1; port < 1<<16; port++ {
				ports = append(ports, uint16(port)) //nolint:gosec // G115: below 65536
			}
			return scan(ctx, t, ports)
		}},
		{ID: "gateway/udp", What: "find other UDP ports of the gateway", try: gatewayUDP},
		{ID: "gateway/port-squatting", What: "listen on the gateway's address and ports in its place", try: squat},
	}
}

// scan connects to each; what answers and is none of the gateway's own ways is
// a door.
func scan(ctx context.Context, t Targets, ports []uint16) result {
	gateway, ok := t.gateway()
	if !ok {
		return absent("nobody says where the gateway is")
	}
	var mu sync.Mutex
	var open, served []uint16
	work := make(chan uint16)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for port := range work {
				dialer := net.Dialer{Timeout: time.Second}
				conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(gateway, port).String())
				if err != nil {
					continue
				}
				_ = conn.Close()
				mu.Lock()
				if slices.Contains(gatewayPorts, port) {
					served = append(served, port)
				} else {
					open = append(open, port)
				}
				mu.Unlock()
			}
		})
	}
	for _, port := range ports {
		work <- port
	}
	close(work)
	all.Wait()
	switch {
	case len(open) > 0:
		return through("open: %v", open)
	case len(served) == 0:
		return result{"", "not even its own ports answer"}
	}
	return stopped("%d tried: its own %d and no other", len(ports), len(served))
}

func gatewayUDP(ctx context.Context, t Targets) result {
	gateway, ok := t.gateway()
	if !ok {
		return absent("nobody says where the gateway is")
	}
	var targets []netip.AddrPort
	for _, port := range []uint16{67, 69, 80, 123, 161, 443, 500, 514, 1080, 1900, 3128, 4500, 5353} {
		targets = append(targets, netip.AddrPortFrom(gateway, port))
	}
	type answer struct {
		at  netip.AddrPort
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	answers := make(chan answer, len(targets))
	for _, target := range targets {
		go func() { // ends with ctx
			conn, err := new(net.Dialer).DialContext(ctx, "udp", target.String())
			if err == nil {
				defer func() { _ = conn.Close() }()
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				defer stop()
				if _, err = conn.Write([]byte("is somebody there")); err == nil {
					_, err = conn.Read(make([]byte, 64))
				}
			}
			answers <- answer{target, err}
		}()
	}
	for range targets {
		if a := <-answers; a.err == nil {
			return through("%s answered", a.at)
		}
	}
	return stopped("%d tried, none answers", len(targets))
}

// squat tries to be what other programs in the bottle take for the gateway.
// Who succeeds could read what they say, and record nothing.
func squat(_ context.Context, t Targets) result {
	gateway, ok := t.gateway()
	if !ok {
		return absent("nobody says where the gateway is")
	}
	for _, port := range gatewayPorts {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return stopped("no socket: %v", err)
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		address := &unix.SockaddrInet4{Port: int(port), Addr: gateway.As4()}
		err = unix.Bind(fd, address)
		if err == nil {
			err = unix.Listen(fd, 1)
		}
		_ = unix.Close(fd)
		if err == nil {
			return through("it listens on %s:%d too, as uid %d", gateway, port, os.Getuid())
		}
	}
	return stopped("each is taken, or the address is another's")
}

// allowBroadcast lets a socket send to everybody.
func allowBroadcast(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1) //nolint:gosec // G115: a descriptor
	})
	if err == nil {
		err = set
	}
	return err
}
