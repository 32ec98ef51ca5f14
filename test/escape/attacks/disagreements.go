//go:build linux

package attacks

import (
	"context"
	"io"
	"net"
	"net/netip"
)

// disagreements say one thing where it is decided and another where it is
// carried.
func disagreements() []Attack {
	return []Attack{
		{ID: "disagree/sni-connect", What: "CONNECT to an allowed host, TLS in it with another server name", try: insideTunnel(443, func(_ context.Context, t Targets, conn net.Conn) (bool, string) {
			return helloThrough(conn, t.ElsewhereName)
		})},
		{ID: "disagree/no-sni-connect", What: "CONNECT to an allowed host, TLS in it without a server name", try: insideTunnel(443, func(_ context.Context, _ Targets, conn net.Conn) (bool, string) {
			return helloThrough(conn, "")
		})},
		{ID: "disagree/ssh-connect", What: "CONNECT to an allowed host, another protocol in it", try: insideTunnel(443, carried("SSH-2.0-escape\r\n"))},
		{ID: "disagree/http-connect", What: "CONNECT to port 443 of an allowed host, plain HTTP in it", try: insideTunnel(443, carried("GET / HTTP/1.0\r\n\r\n"))},
		{ID: "disagree/host-connect", What: "CONNECT to port 80 of an allowed host, a request in it for another", try: insideTunnel(80, otherHost)},
		{ID: "disagree/sni-socks", What: "SOCKS5 to an allowed host, TLS in it with another server name", try: insideSocks(443, func(_ context.Context, t Targets, conn net.Conn) (bool, string) {
			return helloThrough(conn, t.ElsewhereName)
		})},
		{ID: "disagree/host-socks", What: "SOCKS5 to port 80 of an allowed host, a request in it for another", try: insideSocks(80, otherHost)},
		{ID: "disagree/no-sni", What: "plain TLS without a server name", try: plainHello("")},
		{ID: "disagree/absolute-host", What: "absolute form for an allowed host, Host of another", try: refusedBy(3128, "GET http://ALLOWED/ HTTP/1.1\r\nHost: ELSEWHERE\r\nConnection: close\r\n\r\n")},
		{ID: "disagree/connect-host", What: "CONNECT to another host, Host of an allowed one", try: refusedBy(3128, "CONNECT ELSEWHERE:443 HTTP/1.1\r\nHost: ALLOWED:443\r\n\r\n")},
		{ID: "disagree/host-absolute", What: "plain HTTP with Host of an allowed host, absolute form for another", try: refusedBy(80, "GET http://ELSEWHERE/ HTTP/1.1\r\nHost: ALLOWED\r\nConnection: close\r\n\r\n")},
		{ID: "disagree/two-hosts", What: "two fields Host", try: refusedBy(80, "GET / HTTP/1.1\r\nHost: ALLOWED\r\nHost: ELSEWHERE\r\nConnection: close\r\n\r\n")},
		{ID: "disagree/folded-host", What: "a folded field Host", try: refusedBy(80, "GET / HTTP/1.1\r\nHost: ALLOWED\r\n ELSEWHERE\r\nConnection: close\r\n\r\n")},
		{ID: "disagree/line-feeds", What: "a second request behind bare line feeds", try: refusedBy(80, "GET / HTTP/1.1\r\nHost: ALLOWED\r\nX: y\n\nGET / HTTP/1.1\nHost: ELSEWHERE\n\n")},
		{ID: "disagree/smuggled-chunks", What: "a second request behind a length beside chunks", try: refusedBy(80, "POST / HTTP/1.1\r\nHost: ALLOWED\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: ELSEWHERE\r\n\r\n")},
		{ID: "disagree/smuggled-length", What: "a second request behind two lengths", try: refusedBy(80, "POST / HTTP/1.1\r\nHost: ALLOWED\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\nGET / HTTP/1.1\r\nHost: ELSEWHERE\r\n\r\n")},
		{ID: "disagree/h2c", What: "HTTP/2 without TLS, by upgrade and at once", try: h2c},
		{ID: "disagree/second-request", What: "a second request to another host on an allowed connection", try: secondRequest},
		{ID: "disagree/rebinding", What: "an allowed name whose address changes to the host's", try: rebinding},
	}
}

// inside is done in a tunnel to an allowed host.
type inside func(ctx context.Context, t Targets, conn net.Conn) (bool, string)

func insideTunnel(port uint16, try inside) func(context.Context, Targets) result {
	return opened(try, func(ctx context.Context, t Targets, gateway netip.Addr) (net.Conn, int, error) {
		conn, status, err := tunnel(ctx, gateway, hostPort(t.Allowed, port))
		return conn, status - 200, err
	})
}

func insideSocks(port uint16, try inside) func(context.Context, Targets) result {
	return opened(try, func(ctx context.Context, t Targets, gateway netip.Addr) (net.Conn, int, error) {
		conn, code, err := socks(ctx, gateway, t.Allowed, port)
		return conn, int(code), err
	})
}

// opened needs the tunnel: without it nothing was tried.
func opened(try inside, open func(context.Context, Targets, netip.Addr) (net.Conn, int, error)) func(context.Context, Targets) result {
	return func(ctx context.Context, t Targets) result {
		gateway, ok := t.gateway()
		if !ok || t.Allowed == "" {
			return absent("nothing is allowed")
		}
		conn, code, err := open(ctx, t, gateway)
		if err != nil || code != 0 {
			return result{"", "the allowed tunnel does not open"}
		}
		defer func() { _ = conn.Close() }()
		return cameOf(try(ctx, t, conn))
	}
}

// carried says whether anything that the host says comes back.
func carried(message string) inside {
	return func(_ context.Context, t Targets, conn net.Conn) (bool, string) {
		_, _ = io.WriteString(conn, message) // a gateway that cut it is seen below
		answer, err := io.ReadAll(io.LimitReader(conn, 64<<10))
		if len(answer) > 0 && (answer[0] == 22 || answer[0] == 21) {
			return answer[0] == 22, "TLS comes back"
		}
		return judge(t, answer, err)
	}
}

func errorText(err error) string {
	if err == nil {
		return "closed"
	}
	return err.Error()
}

func otherHost(_ context.Context, t Targets, conn net.Conn) (bool, string) {
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+t.ElsewhereName+"\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(io.LimitReader(conn, 64<<10))
	return judge(t, answer, err)
}

func plainHello(name string) func(context.Context, Targets) result {
	return func(ctx context.Context, t Targets) result {
		gateway, ok := t.gateway()
		if !ok {
			return absent("there is no gateway")
		}
		if got, said := plainTLS(ctx, t, gateway, name, 443); got {
			return through("%s", said)
		}
		return stopped("refused")
	}
}

// refusedBy sends a message in which ALLOWED and ELSEWHERE stand for names.
func refusedBy(port uint16, message string) func(context.Context, Targets) result {
	return func(ctx context.Context, t Targets) result {
		gateway, ok := t.gateway()
		if !ok || t.Allowed == "" || t.ElsewhereName == "" {
			return absent("nothing is allowed")
		}
		answer, err := exchange(ctx, gateway, port, t.named(message))
		return cameOf(judge(t, answer, err))
	}
}

func h2c(ctx context.Context, t Targets) result {
	const upgrade = "GET / HTTP/1.1\r\nHost: ALLOWED\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
	if r := refusedBy(80, upgrade)(ctx, t); r.outcome != Stopped {
		return r
	}
	return refusedBy(80, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")(ctx, t)
}

// secondRequest is one on a connection whose first one was for an allowed host.
func secondRequest(ctx context.Context, t Targets) result {
	gateway, ok := t.gateway()
	if !ok || t.Allowed == "" || t.ElsewhereName == "" {
		return absent("nothing is allowed")
	}
	for port, message := range map[uint16]string{
		80:   "GET / HTTP/1.1\r\nHost: ALLOWED\r\n\r\nGET / HTTP/1.1\r\nHost: ELSEWHERE\r\nConnection: close\r\n\r\n",
		3128: "GET http://ALLOWED/ HTTP/1.1\r\nHost: ALLOWED\r\n\r\nGET http://ELSEWHERE/ HTTP/1.1\r\nHost: ELSEWHERE\r\nConnection: close\r\n\r\n",
	} {
		answer, err := exchange(ctx, gateway, port, t.named(message))
		if t.says(answer) {
			return through("the other host answered on port %d", port)
		}
		if len(answer) == 0 {
			return result{"", "not even the first request was answered: " + errorText(err)}
		}
	}
	return stopped("the second was refused")
}

// rebinding asks often enough for the address to have changed between whoever
// looks and whoever connects.
func rebinding(ctx context.Context, t Targets) result {
	gateway, ok := t.gateway()
	if !ok || t.Rebinding == "" {
		return absent("no name changes its address")
	}
	const times = 16
	for range times {
		answer, _ := exchange(ctx, gateway, 80, "GET / HTTP/1.1\r\nHost: "+t.Rebinding+"\r\nConnection: close\r\n\r\n") // most are refused
		if t.says(answer) {
			return through("the host answered")
		}
	}
	return stopped("%d tried", times)
}
