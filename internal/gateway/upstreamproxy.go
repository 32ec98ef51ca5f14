package gateway

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"claude-bottle/internal/policy"
)

// tunnelThrough reaches p through the manifest's own proxy with CONNECT.
//
// The proxy's address is the person's choice and not judged; it is usually
// private. A name with a fixed address, and a literal address, were judged
// and go as addresses; every other name goes by name, since networks with
// such a proxy often resolve nothing else, and then what it resolves to is
// the proxy's to judge (docs/gateway.md says so).
func (s *server) tunnelThrough(ctx context.Context, p *passage, proxy *url.URL) (net.Conn, *refusal) {
	conn, failed := s.dialToProxy(ctx, p, proxy)
	if failed != nil {
		return nil, failed
	}
	status, err := connectThrough(ctx, conn, proxyTarget(p), basicAuth(proxy.User))
	if err == nil && status/100 == 2 {
		return conn, nil
	}
	s.drop(conn)
	reason := fmt.Sprintf("the upstream proxy answered %d", status)
	if err != nil {
		reason = "the upstream proxy broke the connection"
	}
	return nil, failure(p.host, p.port, reason, err)
}

// dialToProxy connects to the manifest's proxy.
func (s *server) dialToProxy(ctx context.Context, p *passage, proxy *url.URL) (net.Conn, *refusal) {
	addrs, err := s.proxyAddresses(ctx, p.policy, proxy.Hostname())
	if err != nil {
		return nil, failure(p.host, p.port, "the upstream proxy's name cannot be looked up", err)
	}
	port, err := policy.ParsePort(proxy.Port())
	if err != nil {
		return nil, failure(p.host, p.port, "the upstream proxy has no port", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.dial)
	defer cancel()
	conn, addr, err := s.race(ctx, addrs, port)
	if err == nil {
		p.event.Address = addr.String()
		p.bind(conn, netip.Addr{})
		return conn, nil
	}
	return nil, failure(p.host, p.port, "the upstream proxy does not answer: "+dialReason(err), err)
}

func (s *server) proxyAddresses(ctx context.Context, rules *policy.Policy, host string) ([]netip.Addr, error) {
	host, err := policy.Normalise(host)
	if err != nil {
		return nil, err
	}
	if addr, ok := rules.Resolve(host); ok {
		return []netip.Addr{addr}, nil
	}
	return s.lookup(ctx, host)
}

// proxyTarget is what the upstream proxy is asked to connect to.
func proxyTarget(p *passage) string {
	host := p.host
	if len(p.addrs) > 0 {
		host = p.addrs[0].String()
	}
	return net.JoinHostPort(host, strconv.Itoa(p.port))
}

// basicAuth is RFC 7617, empty for nobody.
func basicAuth(user *url.Userinfo) string {
	if user == nil {
		return ""
	}
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}

// connectThrough asks for a tunnel and returns the proxy's status. After the
// answer's head nothing has been read.
func connectThrough(ctx context.Context, conn net.Conn, target, auth string) (int, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return 0, err
		}
	}
	b := fmt.Appendf(nil, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", target, target)
	if auth != "" {
		b = fmt.Appendf(b, "Proxy-Authorization: %s\r\n", auth)
	}
	if _, err := conn.Write(append(b, "\r\n"...)); err != nil {
		return 0, err
	}
	// A reader of one byte at a time: what follows the head is the tunnel's.
	block, err := readHead(bufio.NewReaderSize(oneByte{conn}, 16), nil)
	if err != nil {
		return 0, err
	}
	answer, err := parseResponse(block)
	if err != nil {
		return 0, err
	}
	return answer.status, conn.SetDeadline(time.Time{})
}

// oneByte reads at most one byte a call, so that a buffer on top of it never
// holds more than was asked for.
type oneByte struct{ net.Conn }

func (o oneByte) Read(p []byte) (int, error) {
	if len(p) > 1 {
		p = p[:1]
	}
	return o.Conn.Read(p)
}
