package handover

import (
	"errors"
	"io"
	"net"
	"net/netip"

	"claude-bottle/internal/wire"
)

// Set are a bottle's ways in, as a gateway serves them. What has no port is
// nil.
type Set struct {
	Proxy, SOCKS net.Listener
	HTTP, TLS    net.Listener
	DNS          net.Listener   // over TCP
	Packets      net.PacketConn // DNS over UDP
}

// Close closes all that are there.
func (s *Set) Close() error {
	var errs []error
	for _, c := range []io.Closer{s.Proxy, s.SOCKS, s.HTTP, s.TLS, s.DNS, s.Packets} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// Want is what a gateway takes, and nothing else.
type Want struct {
	// Nonce is the whole message of the one who hands over.
	Nonce string
	// UID is that of the process that connected, or that made the socketpair.
	UID int
	// Address and Ports are those that the sockets are bound to.
	Address netip.Addr
	Ports   wire.Ports
}

// way is one socket; the order of a list of them is that of the descriptors.
type way struct {
	name string
	port int
	in   func(*Set) *net.Listener // nil for the one that takes packets
}

func (w way) packets() bool { return w.in == nil }

// waysOf leaves out what has no port.
func waysOf(ports wire.Ports) []way {
	all := []way{
		{"proxy", ports.Proxy, func(s *Set) *net.Listener { return &s.Proxy }},
		{"socks", ports.SOCKS, func(s *Set) *net.Listener { return &s.SOCKS }},
		{"http", ports.HTTP, func(s *Set) *net.Listener { return &s.HTTP }},
		{"tls", ports.TLS, func(s *Set) *net.Listener { return &s.TLS }},
		{"dns over tcp", ports.DNS, func(s *Set) *net.Listener { return &s.DNS }},
		{"dns over udp", ports.DNS, nil},
	}
	var ways []way
	for _, w := range all {
		if w.port != 0 {
			ways = append(ways, w)
		}
	}
	return ways
}

// maxNonce bounds a nonce, in bytes.
const maxNonce = 128

var errNonce = errors.New("no nonce, or one that is too long")
