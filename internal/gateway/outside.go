package gateway

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// outside is the way to the world; tests put their own in its place.
type outside struct {
	dialer   dialer
	resolver resolver
}

type dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// keepAlive finds who is gone within a quarter of an hour. How often it probes
// is the kernel's choice: each word more is a call for each connection.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: -1, Count: -1}

func (o outside) withDefaults() outside {
	if o.dialer == nil {
		o.dialer = &net.Dialer{KeepAliveConfig: keepAlive}
	}
	if o.resolver == nil {
		o.resolver = &net.Resolver{PreferGo: true}
	}
	return o
}

// ownAddresses are those of the host, handed over at boot, and the gateway's
// own interfaces', read again as they may change.
type ownAddresses struct {
	fixed []netip.Addr

	mu   sync.Mutex // guards the rest
	list []netip.Addr
	read time.Time
}

// ownFresh is how long the addresses of the interfaces are taken as read.
const ownFresh = 10 * time.Second

// all must not be changed by the caller.
func (o *ownAddresses) all() ([]netip.Addr, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.list != nil && time.Since(o.read) < ownFresh {
		return o.list, nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	list := append([]netip.Addr(nil), o.fixed...)
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, prefix.Addr())
		}
	}
	o.list, o.read = list, time.Now()
	return list, nil
}
