package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// attemptDelay is how long one address may be silent before the next is
// tried beside it (RFC 8305, 5).
const attemptDelay = 250 * time.Millisecond

// dial connects to the first of the passage's addresses that answers, and to
// nothing else. The connection is tracked, and ends with the passage; the
// caller drops it.
func (s *server) dial(ctx context.Context, p *passage) (net.Conn, *refusal) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.dial)
	defer cancel()
	if proxy := p.policy.ProxyFor(p.host); proxy != nil {
		began := time.Now()
		defer func() { p.waited += time.Since(began) }()
		return s.tunnelThrough(ctx, p, proxy)
	}
	began := time.Now()
	conn, addr, err := s.race(ctx, p.addrs, p.port)
	p.waited += time.Since(began)
	if err != nil {
		return nil, failure(p.host, p.port, fmt.Sprintf("connecting to %s port %d: %s", p.host, p.port, dialReason(err)), err)
	}
	p.event.Address = addr.String()
	p.bind(conn, addr)
	return conn, nil
}

// attempt is how one connection attempt ended.
type attempt struct {
	conn net.Conn
	addr netip.Addr
	err  error
}

var errNoAddress = errors.New("there is no address to connect to")

// race connects to one of addrs as RFC 8305 has it (happy eyeballs): the
// families in turn, the next address when one fails or is silent for a
// while, and the first that answers wins. The connection is tracked. When all
// fail, the error is the first address's.
func (s *server) race(ctx context.Context, addrs []netip.Addr, port int) (net.Conn, netip.Addr, error) {
	addrs = interleaved(addrs)
	if len(addrs) == 0 {
		return nil, netip.Addr{}, errNoAddress
	}
	if len(addrs) == 1 {
		conn, err := s.out.dialer.DialContext(ctx, "tcp", hostPort(addrs[0], port))
		return s.won(attempt{conn, addrs[0], err})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan attempt)
	next, running := 0, 0
	begin := func() {
		addr := addrs[next]
		next++
		running++
		go func() { // ends with the dial, which ctx ends, and is waited for below
			conn, err := s.out.dialer.DialContext(ctx, "tcp", hostPort(addr, port))
			ended <- attempt{conn, addr, err}
		}()
	}
	begin()
	timer := time.NewTimer(attemptDelay)
	defer timer.Stop()
	var won attempt
	errs := map[netip.Addr]error{}
	for running > 0 {
		select {
		case <-timer.C:
			if won.conn == nil && next < len(addrs) {
				begin()
				timer.Reset(attemptDelay)
			}
			continue
		case a := <-ended:
			running--
			switch {
			case a.err == nil && won.conn == nil:
				won = a
				cancel() // the others: they are not needed any more
			case a.err == nil:
				a.conn.Close()
			default:
				errs[a.addr] = a.err
			}
		}
		if won.conn == nil && next < len(addrs) && ctx.Err() == nil {
			begin()
			timer.Reset(attemptDelay)
		}
	}
	if won.conn == nil {
		won.err = errs[addrs[0]]
	}
	return s.won(won)
}

// won is the end of a race.
func (s *server) won(a attempt) (net.Conn, netip.Addr, error) {
	if a.err != nil {
		return nil, netip.Addr{}, a.err
	}
	if !s.track(a.conn, worldSide) {
		return nil, netip.Addr{}, context.Canceled
	}
	return a.conn, a.addr, nil
}

// interleaved orders addresses so that the families take turns, beginning
// with the first one's, each in the resolver's order (RFC 8305, 4).
func interleaved(addrs []netip.Addr) []netip.Addr {
	if len(addrs) < 2 {
		return addrs
	}
	var turns [2][]netip.Addr
	for _, addr := range addrs {
		family := 0
		if addr.Is4() != addrs[0].Is4() {
			family = 1
		}
		turns[family] = append(turns[family], addr)
	}
	ordered := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(turns[0]), len(turns[1])) {
		for _, family := range turns {
			if i < len(family) {
				ordered = append(ordered, family[i])
			}
		}
	}
	return ordered
}
