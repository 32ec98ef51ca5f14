package attack

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// documentation is an address that belongs to nobody (RFC 5737). It is only
// ever named to the gateway, which refuses it before it dials anything.
const documentation = "198.51.100.7"

// proxyAddress is the gateway's, as every program inside is told.
func proxyAddress() (netip.AddrPort, bool) {
	proxy, err := url.Parse(os.Getenv("HTTPS_PROXY"))
	if err != nil {
		return netip.AddrPort{}, false
	}
	address, err := netip.ParseAddrPort(proxy.Host)
	return address, err == nil
}

func gatewayAddress() netip.Addr {
	address, _ := proxyAddress()
	return address.Addr()
}

// gatewayAttempts ask the gateway for what it may give and for what it may
// not.
func gatewayAttempts(t Targets) []attempt {
	proxy, ok := proxyAddress()
	if !ok {
		return []attempt{{tried: "find the gateway", must: true, try: func(context.Context) result {
			return stopped("nobody told the bottle where it is", "HTTPS_PROXY does not say")
		}}}
	}
	list := []attempt{
		{tried: "reach a host that is not allowed, by name", try: func(ctx context.Context) result {
			return tunnel(ctx, proxy, t.Refused+":443")
		}},
		{tried: "reach a host that is not allowed, by address", try: func(ctx context.Context) result {
			return tunnel(ctx, proxy, documentation+":443")
		}},
		{tried: "look up a name that is not allowed", try: func(ctx context.Context) result {
			said, known := ask(ctx, netip.AddrPortFrom(proxy.Addr(), 53), t.Refused)
			if known {
				return worked("the gateway answered: %s", said)
			}
			return stopped(byGateway, "refused")
		}},
	}
	if t.Trap != "" {
		list = append(list, attempt{tried: "reach this computer behind an allowed name", try: func(ctx context.Context) result {
			return tunnel(ctx, proxy, t.Trap)
		}})
	}
	return append(list, allowedAttempts(t, proxy)...)
}

// allowedAttempts must work. A name of the world's is only looked up: nothing
// is sent there.
func allowedAttempts(t Targets, proxy netip.AddrPort) []attempt {
	if t.Allowed == "" {
		return nil
	}
	list := []attempt{{tried: "look up an allowed host", must: true, try: func(ctx context.Context) result {
		said, known := ask(ctx, netip.AddrPortFrom(proxy.Addr(), 53), t.Allowed)
		if !known || said != proxy.Addr().String() {
			return stopped("nothing should", "%s: %s", t.Allowed, said)
		}
		return worked("%s is the gateway, as it should be", t.Allowed)
	}}}
	if t.Says == "" {
		return list
	}
	return append(list, attempt{tried: "reach an allowed host through the gateway", must: true, try: func(ctx context.Context) result {
		return fetch(ctx, t, proxy)
	}})
}

// tunnel asks the proxy for one.
func tunnel(ctx context.Context, proxy netip.AddrPort, to string) result {
	status, body, err := exchange(ctx, proxy, fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to))
	switch {
	case err != nil:
		return stopped(byGateway, "the gateway: %s", Plain(err))
	case status == "403":
		return stopped(byGateway, "refused: %s", reason(body()))
	}
	// What was allowed and then failed on the way was let through all the same.
	return worked("the gateway let it through (status %s)", status)
}

// exchange makes one request of the gateway's proxy. It is written by hand, since the
// library's client is most of what a program with it needs to start (package
// parts). What body returns is what comes in the time that ctx gives, of a small
// answer all.
func exchange(ctx context.Context, proxy netip.AddrPort, request string) (status string, body func() string, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", proxy.String())
	if err != nil {
		return "", nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		return "", nil, err
	}
	answer := textproto.NewReader(bufio.NewReader(io.LimitReader(conn, 16<<10)))
	line, err := answer.ReadLine()
	if err == nil {
		_, err = answer.ReadMIMEHeader()
	}
	if err != nil {
		return "", nil, err
	}
	_, status, _ = strings.Cut(line, " ")
	status, _, _ = strings.Cut(status, " ")
	return status, func() string {
		text, _ := io.ReadAll(answer.R) // what there is of it
		return string(text)
	}, nil
}

// reason is the gateway's, from its text: "claude-bottle refused this: …".
func reason(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	if _, why, ok := strings.Cut(line, "refused this: "); ok {
		return why
	}
	return "status 403"
}

// fetch asks the allowed host for its page. The gateway may find that it does
// not answer, as behind a firewall of the computer's own: the request was let
// through all the same.
func fetch(ctx context.Context, t Targets, proxy netip.AddrPort) result {
	began := time.Now()
	host := net.JoinHostPort(t.Allowed, strconv.Itoa(t.AllowedPort))
	status, body, err := exchange(ctx, proxy, fmt.Sprintf("GET http://%s/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host, host))
	switch {
	case err != nil:
		return stopped("nothing should", "%s", Plain(err))
	case status == "200" && strings.Contains(body(), t.Says):
		return worked("%s answered in %s", t.Allowed, time.Since(began).Round(100*time.Microsecond))
	case status == "502", status == "504":
		return worked("let through, but nobody answered there")
	}
	return stopped("nothing should", "the gateway answered with status %s", status)
}
