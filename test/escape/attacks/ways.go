//go:build linux

package attacks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// way is one of the ways by which a program asks a gateway for a host. It says
// whether it was let through, by what came back: the nonce of whoever answered,
// or a tunnel.
type way struct {
	name string
	what string
	port uint16
	ask  func(ctx context.Context, t Targets, gateway netip.Addr, host string, port uint16) (through bool, said string)
}

func ways() []way {
	return []way{
		{"absolute", "HTTP proxy, absolute form", 80, absoluteForm},
		{"connect", "CONNECT", 443, connectTo},
		{"socks", "SOCKS5", 443, socksTo},
		{"host", "plain HTTP by Host", 80, plainHTTP},
		{"sni", "plain TLS by server name", 443, plainTLS},
	}
}

// answerLimit is how long a gateway is waited for.
const answerLimit = 8 * time.Second

// dialGateway connects to one of its ports; the connection ends with ctx.
func dialGateway(ctx context.Context, gateway netip.Addr, port uint16) (net.Conn, error) {
	dialer := net.Dialer{Timeout: answerLimit}
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(gateway, port).String())
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(answerLimit))
}

// exchange writes and returns what comes back, up to the end or a bound.
func exchange(ctx context.Context, gateway netip.Addr, port uint16, message string) ([]byte, error) {
	conn, err := dialGateway(ctx, gateway, port)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, message); err != nil {
		return nil, err
	}
	if half, is := conn.(*net.TCPConn); is {
		_ = half.CloseWrite()
	}
	return io.ReadAll(io.LimitReader(conn, 64<<10))
}

// answered is what judge says of a host that said the nonce.
const answered = "the host answered"

// unrecognizedName is the end of what is said of that alert (RFC 6066).
const unrecognizedName = "alert 112"

// judge reads the status of an answer: a refusal, or something else. A gateway
// that answers for upstream (502, 504) has let it through to there.
func judge(t Targets, answer []byte, err error) (bool, string) {
	if t.says(answer) {
		return true, answered
	}
	if len(answer) == 0 {
		return false, fmt.Sprintf("nothing comes back (%v)", err)
	}
	response, parseErr := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if parseErr != nil {
		return false, "no HTTP comes back"
	}
	defer func() { _ = response.Body.Close() }()
	said := "status " + strconv.Itoa(response.StatusCode)
	if response.Header.Get("X-Claude-Bottle") == "refused" || response.StatusCode == http.StatusBadRequest ||
		response.StatusCode == http.StatusMisdirectedRequest {
		return false, said
	}
	return true, said
}

func absoluteForm(ctx context.Context, t Targets, gateway netip.Addr, host string, port uint16) (bool, string) {
	authority := hostPort(host, port)
	answer, err := exchange(ctx, gateway, 3128, "GET http://"+authority+"/ HTTP/1.1\r\nHost: "+authority+"\r\nConnection: close\r\n\r\n")
	return judge(t, answer, err)
}

func plainHTTP(ctx context.Context, t Targets, gateway netip.Addr, host string, port uint16) (bool, string) {
	if port != 80 {
		host = hostPort(host, port)
	}
	answer, err := exchange(ctx, gateway, 80, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	return judge(t, answer, err)
}

func connectTo(ctx context.Context, t Targets, gateway netip.Addr, host string, port uint16) (bool, string) {
	conn, status, err := tunnel(ctx, gateway, hostPort(host, port))
	if err != nil {
		return false, err.Error()
	}
	defer func() { _ = conn.Close() }()
	if status != http.StatusOK {
		return status == http.StatusBadGateway || status == http.StatusGatewayTimeout, "status " + strconv.Itoa(status)
	}
	return true, "a tunnel"
}

// tunnel asks for one; the connection is what is in it when the status is 200.
func tunnel(ctx context.Context, gateway netip.Addr, authority string) (net.Conn, int, error) {
	conn, err := dialGateway(ctx, gateway, 3128)
	if err != nil {
		return nil, 0, err
	}
	_, err = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority)
	if err != nil {
		_ = conn.Close()
		return nil, 0, err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(oneByOne{conn}, 16), &http.Request{Method: http.MethodConnect})
	if err != nil {
		_ = conn.Close()
		return nil, 0, err
	}
	_ = response.Body.Close()
	return conn, response.StatusCode, nil
}

// oneByOne reads no further than it is asked to, so that what follows a head
// stays in the connection.
type oneByOne struct{ io.Reader }

func (r oneByOne) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }

func socksTo(ctx context.Context, t Targets, gateway netip.Addr, host string, port uint16) (bool, string) {
	_, code, err := socks(ctx, gateway, host, port)
	if err != nil {
		return false, err.Error()
	}
	// 0 is a tunnel, 4 and 5 say that upstream did not answer.
	return code == 0 || code == 4 || code == 5, "SOCKS code " + strconv.Itoa(int(code))
}

// socks is RFC 1928's CONNECT; an address goes as one, all else as a name.
func socks(ctx context.Context, gateway netip.Addr, host string, port uint16) (net.Conn, byte, error) {
	conn, err := dialGateway(ctx, gateway, 1080)
	if err != nil {
		return nil, 0, err
	}
	request := []byte{5, 1, 0, 5, 1, 0}
	if address, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		kind := byte(1)
		if address.Is6() {
			kind = 4
		}
		request = append(append(request, kind), address.AsSlice()...)
	} else {
		name := host[:min(len(host), 255)]
		request = append(append(request, 3, byte(len(name))), name...) //nolint:gosec // G115: bounded above
	}
	request = binary.BigEndian.AppendUint16(request, port)
	reply := make([]byte, 4)
	if _, err = conn.Write(request); err == nil {
		_, err = io.ReadFull(conn, reply)
	}
	if err != nil {
		_ = conn.Close()
		return nil, 0, err
	}
	if reply[1] != 0xff && reply[0] == 5 && reply[1] == 0 {
		return conn, reply[3], nil
	}
	_ = conn.Close()
	return nil, 0, fmt.Errorf("no SOCKS: % x", reply)
}

func plainTLS(ctx context.Context, t Targets, gateway netip.Addr, host string, _ uint16) (bool, string) {
	conn, err := dialGateway(ctx, gateway, 443)
	if err != nil {
		return false, err.Error()
	}
	defer func() { _ = conn.Close() }()
	return helloThrough(conn, host)
}

// helloThrough says whether a ClientHello for name brought a server's hello.
// The name is sent as it is, whatever it holds.
func helloThrough(conn net.Conn, name string) (bool, string) {
	if _, err := conn.Write(clientHello(name)); err != nil {
		return false, err.Error()
	}
	answer := make([]byte, 7) // of a record its type, version and length, and of a message or an alert the first bytes
	n, err := io.ReadFull(conn, answer)
	switch {
	case n > 5 && answer[0] == 22 && answer[5] == 2:
		return true, "a server's hello came back"
	case n == 7 && answer[0] == 21:
		return false, "alert " + strconv.Itoa(int(answer[6]))
	case n > 0 && answer[0] == 21:
		return false, "half an alert"
	}
	return false, fmt.Sprintf("% x (%v)", answer[:n], err)
}

func hostPort(host string, port uint16) string {
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}
