package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"claude-bottle/internal/wire"
)

// Answers of a gateway on trial: it refuses what the policy refuses, and what
// that allows it does not carry yet.
const (
	statusRefused = "403"
	statusOnTrial = "503"
)

// ways are checks of each way that the gateway has.
func ways(p wire.Probe) []check {
	if !p.Gateway.IsValid() {
		return nil
	}
	at := func(port int) netip.AddrPort { return netip.AddrPortFrom(p.Gateway, uint16(port)) } //nolint:gosec // G115: a port
	var checks []check
	add := func(port int, kind, target string, try func(ctx context.Context) outcome) {
		if port != 0 {
			checks = append(checks, check{kind, target, false, try})
		}
	}
	if p.Health != "" {
		get := "GET " + p.Health + " HTTP/1.1\r\nHost: " + at(p.Ports.Proxy).String() + "\r\nConnection: close\r\n\r\n"
		add(p.Ports.Proxy, Proxy, "GET of "+p.Health, status(at(p.Ports.Proxy), get, "200"))
	}
	if p.Refused != "" {
		connect := "CONNECT " + p.Refused + ":443 HTTP/1.1\r\nHost: " + p.Refused + ":443\r\n\r\n"
		get := "GET http://" + p.Refused + "/ HTTP/1.1\r\nHost: " + p.Refused + "\r\n\r\n"
		plain := "GET / HTTP/1.1\r\nHost: " + p.Refused + "\r\n\r\n"
		add(p.Ports.Proxy, Proxy, "CONNECT to a refused name", status(at(p.Ports.Proxy), connect, statusRefused))
		add(p.Ports.Proxy, Proxy, "GET of a refused name", status(at(p.Ports.Proxy), get, statusRefused))
		add(p.Ports.SOCKS, Proxy, "SOCKS to a refused name", socks(at(p.Ports.SOCKS), p.Refused, socksRefused))
		add(p.Ports.HTTP, Plain, "HTTP to a refused name", status(at(p.Ports.HTTP), plain, statusRefused))
		add(p.Ports.TLS, Plain, "TLS to a refused name", hello(at(p.Ports.TLS), p.Refused, alertRefused))
		for _, network := range []string{"udp", "tcp"} {
			add(p.Ports.DNS, Names, "a refused name over "+network, name(network, at(p.Ports.DNS), p.Refused, func(a answer) bool {
				return a.code == dnsmessage.RCodeRefused && a.records == 0
			}))
		}
	}
	if p.Allowed != "" {
		host := fmt.Sprintf("%s:%d", p.Allowed, p.AllowedPort)
		connect := "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
		add(p.Ports.Proxy, Proxy, "CONNECT to an allowed name", status(at(p.Ports.Proxy), connect, statusOnTrial))
		for _, network := range []string{"udp", "tcp"} {
			add(p.Ports.DNS, Names, "an allowed name over "+network, name(network, at(p.Ports.DNS), p.Allowed, func(a answer) bool {
				return a.code == dnsmessage.RCodeSuccess && len(a.addresses) == 1 && a.addresses[0] == p.Gateway
			}))
		}
	}
	if p.AllowedHTTP != "" {
		plain := "GET / HTTP/1.1\r\nHost: " + p.AllowedHTTP + "\r\n\r\n"
		add(p.Ports.HTTP, Plain, "HTTP to an allowed name", byName(p, p.AllowedHTTP, status(at(p.Ports.HTTP), plain, statusOnTrial)))
	}
	if p.AllowedTLS != "" {
		add(p.Ports.TLS, Plain, "TLS to an allowed name", byName(p, p.AllowedTLS, hello(at(p.Ports.TLS), p.AllowedTLS, alertOnTrial)))
	}
	return checks
}

// resolvConf is where programs find their name servers, resolv.conf(5).
const resolvConf = "/etc/resolv.conf"

// byName goes the way of programs that know no proxy: the bottle's own settings
// must lead to the gateway's name server and to no other, and that to the
// gateway, which is asked meanwhile. Nobody else is sent anything.
func byName(p wire.Probe, host string, ask func(context.Context) outcome) func(context.Context) outcome {
	lead := name("udp", netip.AddrPortFrom(p.Gateway, uint16(p.Ports.DNS)), host, func(a answer) bool { //nolint:gosec // G115: a port
		return len(a.addresses) == 1 && a.addresses[0] == p.Gateway
	})
	return func(ctx context.Context) outcome {
		text, err := os.ReadFile(resolvConf)
		if err != nil {
			return broken(resolvConf + ": " + reason(err))
		}
		if servers := nameServers(string(text)); !slices.Equal(servers, []string{p.Gateway.String()}) {
			return broken(fmt.Sprintf("%s names %v, not the gateway alone", resolvConf, servers))
		}
		led := make(chan outcome, 1)
		go func() { led <- lead(ctx) }() // ends with ctx
		asked := ask(ctx)
		if led := <-led; led.failed {
			return led
		}
		return asked
	}
}

// nameServers are those of a resolv.conf, as it has them.
func nameServers(text string) []string {
	var servers []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" {
			servers = append(servers, fields[1])
		}
	}
	return servers
}

// socksRefused is how SOCKS5 says that a rule refuses (RFC 1928, 6).
const socksRefused = 2

// socks asks for a tunnel by SOCKS5 and wants a code.
func socks(at netip.AddrPort, host string, want byte) func(context.Context) outcome {
	request := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(host))}, host...) //nolint:gosec // G115: a short name of ours
	request = append(request, 443>>8, 443&0xff)
	return func(ctx context.Context) outcome {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
		if err != nil {
			return broken(reason(err))
		}
		defer func() { _ = conn.Close() }()
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		if _, err := conn.Write(request); err != nil {
			return broken(reason(err))
		}
		answer := make([]byte, 4) // two of the greeting, two of the request
		if _, err := io.ReadFull(conn, answer); err != nil {
			return broken(reason(err))
		}
		if answer[1] != 0 || answer[3] != want {
			return broken(fmt.Sprintf("the gateway answered % x, not code %d", answer, want))
		}
		return works(fmt.Sprintf("answered %d", want))
	}
}

// status sends a request and wants a status.
func status(at netip.AddrPort, request, want string) func(context.Context) outcome {
	return func(ctx context.Context) outcome {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
		if err != nil {
			return broken(reason(err))
		}
		defer func() { _ = conn.Close() }()
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		if _, err := conn.Write([]byte(request)); err != nil {
			return broken(reason(err))
		}
		line, err := bufio.NewReaderSize(conn, 256).ReadString('\n')
		if err != nil {
			return broken(reason(err))
		}
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[1] != want {
			return broken(fmt.Sprintf("the gateway answered %q, not status %s", strings.TrimSpace(line), want))
		}
		return works("answered " + want)
	}
}

// name asks for one and wants an answer.
func name(network string, at netip.AddrPort, asked string, want func(answer) bool) func(context.Context) outcome {
	return func(ctx context.Context) outcome {
		got, err := lookup(ctx, network, at, asked)
		switch {
		case err != nil:
			return broken(reason(err))
		case !want(got):
			return broken("the gateway answered " + got.String())
		}
		return works("answered " + got.String())
	}
}
