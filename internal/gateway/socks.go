package gateway

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// SOCKS5 is RFC 1928: CONNECT to a name or an address, without
// authentication. The tunnel it asks for is decided and carried as one that
// CONNECT asked for.
const (
	socksVersion = 5

	socksNoAuthentication = 0x00
	socksNoMethod         = 0xff

	socksConnect = 1

	socksIPv4 = 1
	socksName = 3
	socksIPv6 = 4
)

// socksReply is the code that a request is answered with (RFC 1928, 6).
type socksReply byte

const (
	socksSucceeded    socksReply = 0x00
	socksFailed       socksReply = 0x01
	socksNotAllowed   socksReply = 0x02
	socksNetUnreached socksReply = 0x03
	socksUnreached    socksReply = 0x04
	socksRefused      socksReply = 0x05
	socksTooLate      socksReply = 0x06
	socksNoCommand    socksReply = 0x07
	socksNoType       socksReply = 0x08
)

// errSOCKS is a client that does not speak SOCKS5, or stopped to.
var errSOCKS = errors.New("the bytes are no SOCKS5")

// socks reads a greeting and a request, and carries what is asked for. The
// time that a head has must be running.
func (c *session) socks(ctx context.Context) {
	if err := c.greetSOCKS(); err != nil {
		return
	}
	asked, code, err := readSOCKS(c.br)
	if err != nil {
		return // who does not finish a request gets no answer
	}
	c.busy(c.conn)
	p := policy.Request{Kind: policy.SOCKS, Host: asked.host, Port: asked.port}
	if code != socksSucceeded {
		_ = c.journal.refused(p, malformed(code.reason()))
		_ = c.replySOCKS(code)
		c.linger()
		return
	}
	to, refused := asked.authority()
	if refused != nil {
		_ = c.journal.refused(p, refused)
		_ = c.replySOCKS(socksNotAllowed)
		c.linger()
		return
	}
	p.Host = to.host
	c.carry(ctx, p, to, socksTongue{})
}

// greetSOCKS agrees that there is no authentication.
func (c *session) greetSOCKS() error {
	methods, err := readGreeting(c.br)
	if err != nil {
		return err
	}
	answer := []byte{socksVersion, socksNoMethod}
	for _, method := range methods {
		if method == socksNoAuthentication {
			answer[1] = socksNoAuthentication
		}
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.limits.head)); err != nil {
		return err
	}
	if _, err := c.conn.Write(answer); err != nil {
		return err
	}
	if answer[1] == socksNoMethod {
		_ = c.journal.refused(policy.Request{Kind: policy.SOCKS}, malformed("the SOCKS client wants to authenticate itself; here that is neither wanted nor possible"))
		c.linger()
		return errSOCKS
	}
	return nil
}

// readGreeting reads the methods that a client offers (RFC 1928, 3).
func readGreeting(br *bufio.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(br, head[:]); err != nil {
		return nil, err
	}
	if head[0] != socksVersion || head[1] == 0 {
		return nil, errSOCKS
	}
	methods := make([]byte, head[1])
	_, err := io.ReadFull(br, methods)
	return methods, err
}

// socksRequest is where a client wants to go, as it wrote it.
type socksRequest struct {
	host string
	port int
}

// readSOCKS reads a request (RFC 1928, 4). A code other than socksSucceeded
// says what is wrong with one that was read; what follows it was not.
func readSOCKS(br *bufio.Reader) (socksRequest, socksReply, error) {
	var head [4]byte // version, command, reserved, type of address
	if _, err := io.ReadFull(br, head[:]); err != nil {
		return socksRequest{}, 0, err
	}
	if head[0] != socksVersion || head[2] != 0 {
		return socksRequest{}, socksFailed, nil
	}
	host, code, err := readSOCKSHost(br, head[3])
	if err != nil || code != socksSucceeded {
		return socksRequest{}, code, err
	}
	var port [2]byte
	if _, err := io.ReadFull(br, port[:]); err != nil {
		return socksRequest{}, 0, err
	}
	asked := socksRequest{host, int(binary.BigEndian.Uint16(port[:]))}
	if head[1] != socksConnect {
		return asked, socksNoCommand, nil
	}
	return asked, socksSucceeded, nil
}

func readSOCKSHost(br *bufio.Reader, kind byte) (string, socksReply, error) {
	size := 0
	switch kind {
	case socksIPv4:
		size = 4
	case socksIPv6:
		size = 16
	case socksName:
		length, err := br.ReadByte()
		if err != nil {
			return "", 0, err
		}
		size = int(length)
	default:
		return "", socksNoType, nil
	}
	host := make([]byte, size)
	if _, err := io.ReadFull(br, host); err != nil {
		return "", 0, err
	}
	if kind == socksName {
		return string(host), socksSucceeded, nil
	}
	addr, _ := netip.AddrFromSlice(host)
	return addr.String(), socksSucceeded, nil
}

// authority checks where the request goes. A name is taken as its bytes say:
// one that holds a NUL ends there for some and not for others, and is refused
// as every other that is no host name.
func (r socksRequest) authority() (authority, *refusal) {
	if r.port == 0 {
		return authority{}, malformed("the SOCKS request names no port")
	}
	if strings.HasPrefix(r.host, "[") {
		return authority{}, malformed("the SOCKS request's name is in brackets, as a URL has it")
	}
	host, err := policy.Normalise(r.host)
	if err != nil {
		return authority{}, malformed(err.Error())
	}
	return authority{host, r.port}, nil
}

// reason is the code in words, for those that are about the request's form.
func (r socksReply) reason() string {
	switch r {
	case socksNoCommand:
		return "only CONNECT is there of SOCKS5: no BIND, no UDP"
	case socksNoType:
		return "the SOCKS request's type of address is unknown"
	default:
		return "the SOCKS request is malformed"
	}
}

// replySOCKS answers a request. The address that the gateway connects from is
// the host's business.
func (c *session) replySOCKS(code socksReply) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.limits.head)); err != nil {
		return err
	}
	_, err := c.conn.Write([]byte{socksVersion, byte(code), 0, socksIPv4, 0, 0, 0, 0, 0, 0})
	return err
}

// socksTongue answers a SOCKS request.
type socksTongue struct{}

func (socksTongue) established(c *session) error { return c.replySOCKS(socksSucceeded) }

func (socksTongue) refused(c *session, why *refusal) {
	if c.replySOCKS(why.socks()) == nil {
		c.linger()
	}
}

// socks is the refusal as a code.
func (r *refusal) socks() socksReply {
	switch {
	case r.forbidden():
		return socksNotAllowed
	case errors.Is(r.cause, syscall.ECONNREFUSED):
		return socksRefused
	case errors.Is(r.cause, syscall.ENETUNREACH):
		return socksNetUnreached
	case r.status == http.StatusGatewayTimeout:
		return socksTooLate
	case r.outcome == audit.Failed:
		return socksUnreached
	default:
		return socksFailed
	}
}
