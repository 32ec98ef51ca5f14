package gateway

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"claude-bottle/internal/policy"
)

const (
	reasonECH    = "the ClientHello is encrypted (ECH), so the name in it cannot be checked"
	reasonNoName = "the ClientHello names no server (SNI), so nothing can be checked"
)

// servePlainTLS carries a TLS connection that came to port 443 by the
// gateway's own DNS answer, to the server that its ClientHello names.
func (s *server) servePlainTLS(ctx context.Context, conn net.Conn) {
	c := &session{server: s, conn: conn, br: bufio.NewReaderSize(conn, readerSize), way: way{to: authority{port: 443}}}
	if err := conn.SetReadDeadline(time.Now().Add(s.limits.head)); err != nil {
		return
	}
	if _, err := c.br.Peek(1); err != nil {
		return
	}
	raw, h, err := readHello(c.br)
	c.busy(conn)
	r := policy.Request{Kind: policy.TLS, Host: h.name, Port: 443}
	if why := unnamed(h, err); why != nil {
		_ = s.journal.refused(r, why)
		c.alert(alertUnrecognizedName)
		return
	}
	pass, refused := s.admit(ctx, r)
	if refused != nil {
		c.alert(alertFor(refused))
		return
	}
	if pass.inspect {
		pass.close(c.inspect(ctx, pass, raw, authority{pass.host, 443}))
		return
	}
	pass.close(c.carryTLS(ctx, pass, raw))
}

func (c *session) carryTLS(ctx context.Context, pass *passage, raw []byte) *refusal {
	conn, failed := c.dial(ctx, pass)
	if failed != nil {
		c.alert(alertInternalError)
		return failed
	}
	defer c.drop(conn)
	c.splice(pass, raw, &upstream{conn: conn, br: bufio.NewReaderSize(conn, 16)})
	return nil
}

// unnamed refuses a ClientHello from which the server cannot be known.
func unnamed(h hello, err error) *refusal {
	switch {
	case err != nil:
		return malformed(helloReason(err))
	case h.ech:
		return malformed(reasonECH)
	case h.name == "":
		return malformed(reasonNoName)
	}
	host, err := policy.Normalise(h.name)
	if err != nil {
		return malformed(err.Error())
	}
	if _, literal := literalAddress(host); literal { // RFC 6066, 3
		return malformed("the ClientHello names an address, not a server")
	}
	return nil
}

func helloReason(err error) string {
	for _, known := range []error{errNotTLS, errHello, errHelloSize} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "the ClientHello broke off"
}

func literalAddress(host string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

// Alerts of RFC 8446, 6.
const (
	alertInternalError    = 80
	alertUnrecognizedName = 112
)

// alertFor tells a name that is refused from one that leads nowhere, or that is
// not carried now.
func alertFor(r *refusal) byte {
	if r.forbidden() {
		return alertUnrecognizedName
	}
	return alertInternalError
}

// alert ends a TLS connection with a fatal alert, which clients turn into
// words, and closes it so that the words arrive.
func (c *session) alert(code byte) {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.limits.head)); err != nil {
		return
	}
	if _, err := c.conn.Write([]byte{21, 3, 3, 0, 2, 2, code}); err != nil {
		return
	}
	c.linger()
}
