package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// dialSecure connects to an origin with TLS of the gateway's own and verifies
// its certificate in full: name, time, usage, and roots, the manifest's
// among them (TestUpstreamCertificates). The connection is tracked; the caller
// drops it.
func (s *server) dialSecure(ctx context.Context, p *passage, to authority, protocols ...string) (*tls.Conn, *refusal) {
	vouched := s.inspector.upstream
	if p.strict || s.concerns(to) {
		vouched = s.inspector.strict
	}
	base, err := vouched()
	if err != nil {
		return nil, failure(to.host, to.port, "the roots cannot be read, so no certificate can be verified", err)
	}
	conn, failed := s.dial(ctx, p)
	if failed != nil {
		return nil, failed
	}
	config := base.Clone()
	config.ServerName, config.NextProtos = to.host, protocols
	ctx, cancel := context.WithTimeout(ctx, s.limits.dial)
	defer cancel()
	secured := tls.Client(&owned{Conn: &recordwise{Conn: conn}, server: s, address: p.event.Address, reached: p.to}, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		s.drop(conn)
		return nil, failure(to.host, to.port, handshakeReason(to.host, err), err)
	}
	if chosen := secured.ConnectionState().NegotiatedProtocol; chosen != "" && !slices.Contains(protocols, chosen) {
		s.drop(conn)
		return nil, failure(to.host, to.port, to.host+" speaks another protocol than it was asked for", nil)
	}
	return secured, nil
}

// dialHTTPS is dialHTTP for requests inside TLS that is inspected.
func (s *server) dialHTTPS(ctx context.Context, p *passage, to authority) (*upstream, *refusal) {
	conn, failed := s.dialSecure(ctx, p, to, protoHTTP1)
	if failed != nil {
		return nil, failed
	}
	return &upstream{
		to: to, conn: conn, br: bufio.NewReaderSize(conn, readerSize), secure: true,
		address: p.event.Address, policy: p.policy, addrs: p.addrs,
	}, nil
}

// handshakeReason says in words why TLS to host did not come to be, and
// nothing that names addresses.
func handshakeReason(host string, err error) string {
	const is = "the certificate of %s "
	var (
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &invalid):
		return fmt.Sprintf(is, host) + invalidReason(invalid.Reason)
	case errors.As(err, &name):
		return fmt.Sprintf(is+"is for another name", host)
	case errors.As(err, &unknown):
		return fmt.Sprintf(is+"is signed by nobody who is trusted here (the manifest's `ca` adds roots)", host)
	case errors.As(err, &record):
		return host + " does not speak TLS"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "the TLS handshake with " + host + " took too long"
	}
	if alert, ok := remoteAlert(err); ok {
		return host + " ended the TLS handshake: " + alert
	}
	if certificate := (*tls.CertificateVerificationError)(nil); errors.As(err, &certificate) {
		return fmt.Sprintf(is+"is not valid", host)
	}
	return "the TLS handshake with " + host + " failed"
}

func invalidReason(reason x509.InvalidReason) string {
	switch reason {
	case x509.Expired:
		return "has expired or is not valid yet"
	case x509.CANotAuthorizedForThisName, x509.NameConstraintsWithoutSANs, x509.UnconstrainedName, x509.TooManyConstraints:
		return "is for a name that its authority may not sign for"
	case x509.IncompatibleUsage, x509.CANotAuthorizedForExtKeyUsage:
		return "is not for servers"
	case x509.NotAuthorizedToSign, x509.TooManyIntermediates:
		return "is signed by somebody who may not sign"
	default:
		return "is not valid"
	}
}

// settled says whether an idle TLS connection has nothing to say that was read
// from its socket already, an alert or a message. It does not wait.
func settled(conn *tls.Conn) bool {
	if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return false
	}
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// owned is a tracked connection to the world below TLS: whoever closes that
// drops it.
type owned struct {
	net.Conn
	server  *server
	address string     // where it leads, for the record
	reached netip.Addr // the same; invalid behind a proxy
	closed  atomic.Bool
	release func() // called when it is closed; nil for nothing
}

func (o *owned) NetConn() net.Conn { return o.Conn }

func (o *owned) Close() error {
	if !o.closed.Swap(true) && o.release != nil {
		o.release()
	}
	o.server.drop(o.Conn)
	return nil
}

// socket is the connection that was tracked: conn itself, or what is below it.
func socket(conn net.Conn) net.Conn {
	for {
		over, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = over.NetConn()
	}
}
