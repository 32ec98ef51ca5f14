package traffic

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// stall ends an exchange that hangs.
const stall = 30 * time.Second

// Path is a way to the origin.
type Path struct {
	Origin *Origin
	// Proxy is HOST:PORT of an HTTP proxy; empty is the origin itself.
	Proxy string
	// Roots are trusted when TLS is spoken.
	Roots *x509.CertPool
}

// Kind is one kind of exchange.
type Kind struct {
	Name string
	// Bulk says that bytes count, not exchanges.
	Bulk bool
	// begin opens what a client keeps, and returns one exchange, which says how
	// many bytes it moved.
	begin func(ctx context.Context, p Path) (*client, error)
}

// The kinds.
var (
	Tunnels  = Kind{Name: "tunnels", begin: beginTunnels}
	Plain    = Kind{Name: "plain requests", begin: func(ctx context.Context, p Path) (*client, error) { return beginPlain(ctx, p, 0) }}
	Secure   = Kind{Name: "requests over TLS", begin: func(ctx context.Context, p Path) (*client, error) { return beginSecure(ctx, p, "GET /", 0) }}
	Post4    = Kind{Name: "posts of 4 KiB", begin: func(ctx context.Context, p Path) (*client, error) { return beginPlain(ctx, p, 4<<10) }}
	Post64   = Kind{Name: "posts of 64 KiB", begin: func(ctx context.Context, p Path) (*client, error) { return beginPlain(ctx, p, 64<<10) }}
	Download = Kind{Name: "bulk to the client", Bulk: true, begin: func(ctx context.Context, p Path) (*client, error) { return beginBulk(ctx, p, download) }}
	Upload   = Kind{Name: "bulk from the client", Bulk: true, begin: func(ctx context.Context, p Path) (*client, error) { return beginBulk(ctx, p, upload) }}
)

// Signed is the kind of posts over TLS with a credential and a text of 3 KiB.
func Signed(token string) Kind {
	text := strings.Repeat("func main() { fmt.Println(\"hello, world\") } // some source, as agents send it\n", 40)
	return Kind{Name: "signed posts over TLS", begin: func(ctx context.Context, p Path) (*client, error) {
		return beginSecureWith(ctx, p, func(conn net.Conn, host string) *client {
			return repeated(conn, fmt.Appendf(nil,
				"POST / HTTP/1.1\r\nHost: %s\r\nUser-Agent: traffic\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", host, token, len(text), text))
		})
	}}
}

// Once is the kind that moves count bytes from the client in one exchange.
func (k Kind) Once(count int64) Kind {
	return Kind{Name: k.Name, Bulk: true, begin: func(ctx context.Context, p Path) (*client, error) { return bulk(ctx, p, upload, count) }}
}

// Endless asks for answers of that many bytes over TLS and reads on in the
// background: an exchange ends with the answer's head.
func Endless(count int64) Kind {
	return Kind{Name: "long answers", Bulk: true, begin: func(ctx context.Context, p Path) (*client, error) {
		c, err := beginSecure(ctx, p, fmt.Sprintf("GET /bytes/%d", count), 0)
		if err != nil {
			return nil, err
		}
		exchange, ended := c.exchange, make(chan struct{})
		shut := c.close
		c.exchange = func() (int64, error) {
			go func() {
				defer close(ended)
				_, _ = exchange() // close ends it
			}()
			return 0, nil
		}
		c.close = func() error {
			err := shut()
			<-ended
			return err
		}
		return c, nil
	}}
}

// client is one that has begun.
type client struct {
	exchange func() (bytes int64, err error)
	close    func() error
}

// dial opens a connection to a port of the origin: a tunnel, where there is a
// proxy.
func (p Path) dial(ctx context.Context, port int) (net.Conn, error) {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if p.Proxy != "" {
		address = p.Proxy
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil || p.Proxy == "" {
		return conn, err
	}
	if err := connect(conn, port); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func connect(conn net.Conn, port int) error {
	if err := conn.SetDeadline(time.Now().Add(stall)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n", Name, port, Name, port); err != nil {
		return err
	}
	// Byte by byte would cost; whatever follows the head is the server's, and
	// none of ours speaks first.
	in := bufio.NewReaderSize(conn, 4<<10)
	h, err := readHead(in)
	if err != nil {
		return err
	}
	if !strings.Contains(h.first, " 200") || in.Buffered() > 0 {
		return fmt.Errorf("the proxy answers %q", h.first)
	}
	return nil
}

// beginTunnels opens one for each exchange, in which a byte comes back.
func beginTunnels(ctx context.Context, p Path) (*client, error) {
	hello, err := clientHello()
	if err != nil {
		return nil, err
	}
	order := binary.BigEndian.AppendUint64(append(hello, download), 1)
	one := make([]byte, 1)
	return &client{close: func() error { return nil }, exchange: func() (int64, error) {
		conn, err := p.dial(ctx, p.Origin.Raw)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(stall)); err != nil {
			return 0, err
		}
		if _, err := conn.Write(order); err != nil {
			return 0, err
		}
		_, err = io.ReadFull(conn, one)
		return 1, err
	}}, nil
}

// beginPlain keeps a connection to the proxy and sends requests in absolute
// form, with a body of that many bytes.
func beginPlain(ctx context.Context, p Path, body int) (*client, error) {
	address, target := fmt.Sprintf("127.0.0.1:%d", p.Origin.Plain), ""
	if p.Proxy != "" {
		address, target = p.Proxy, fmt.Sprintf("http://%s:%d", Name, p.Origin.Plain)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return requests(conn, "GET "+target+"/", fmt.Sprintf("%s:%d", Name, p.Origin.Plain), body), nil
}

// beginSecure keeps a tunnel and sends requests over TLS in it.
func beginSecure(ctx context.Context, p Path, start string, body int) (*client, error) {
	return beginSecureWith(ctx, p, func(conn net.Conn, host string) *client { return requests(conn, start, host, body) })
}

func beginSecureWith(ctx context.Context, p Path, of func(conn net.Conn, host string) *client) (*client, error) {
	conn, err := p.dial(ctx, p.Origin.Secure)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(stall)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	secure := tls.Client(conn, &tls.Config{ServerName: Name, RootCAs: p.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return of(secure, fmt.Sprintf("%s:%d", Name, p.Origin.Secure)), nil
}

func requests(conn net.Conn, start, host string, body int) *client {
	request := fmt.Appendf(nil, "%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: traffic\r\nAccept: */*\r\n\r\n", start, host)
	if body > 0 {
		start = strings.Replace(start, "GET", "POST", 1)
		request = fmt.Appendf(nil, "%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: traffic\r\nAccept: */*\r\nContent-Length: %d\r\n\r\n", start, host, body)
		request = append(request, make([]byte, body)...)
	}
	return repeated(conn, request)
}

// repeated sends one request again and again.
func repeated(conn net.Conn, request []byte) *client {
	in := bufio.NewReaderSize(conn, 16<<10)
	return &client{close: conn.Close, exchange: func() (int64, error) {
		if err := conn.SetDeadline(time.Now().Add(stall)); err != nil {
			return 0, err
		}
		if _, err := conn.Write(request); err != nil {
			return 0, err
		}
		h, err := readHead(in)
		if err != nil {
			return 0, err
		}
		if !strings.Contains(h.first, " 200") {
			return 0, fmt.Errorf("the answer is %q", h.first)
		}
		return io.CopyN(io.Discard, in, h.length)
	}}
}

// beginBulk keeps a tunnel and moves bytes through it, 4 MiB an exchange.
func beginBulk(ctx context.Context, p Path, direction byte) (*client, error) {
	return bulk(ctx, p, direction, 4<<20)
}

func bulk(ctx context.Context, p Path, direction byte, size int64) (*client, error) {
	conn, err := p.dial(ctx, p.Origin.Raw)
	if err != nil {
		return nil, err
	}
	hello, err := clientHello()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if _, err := conn.Write(hello); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	order := binary.BigEndian.AppendUint64([]byte{direction}, uint64(size))
	chunk := make([]byte, 64<<10)
	return &client{close: conn.Close, exchange: func() (int64, error) {
		if err := conn.SetDeadline(time.Now().Add(stall)); err != nil {
			return 0, err
		}
		if _, err := conn.Write(order); err != nil {
			return 0, err
		}
		if direction == upload {
			if err := send(conn, size); err != nil {
				return 0, err
			}
			_, err := io.ReadFull(conn, chunk[:1])
			return size, err
		}
		for left := size; left > 0; {
			n, err := conn.Read(chunk[:min(left, int64(len(chunk)))])
			if err != nil {
				return 0, err
			}
			left -= int64(n)
		}
		return size, nil
	}}, nil
}

// clientHello is the first thing that a TLS client for Name says.
func clientHello() ([]byte, error) {
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(theirs, &tls.Config{ServerName: Name, MinVersion: tls.VersionTLS12}).Handshake() //nolint:noctx // it ends with the pipe
	}()
	defer theirs.Close()
	defer ours.Close()
	record := make([]byte, 5)
	if _, err := io.ReadFull(ours, record); err != nil {
		return nil, err
	}
	rest := make([]byte, binary.BigEndian.Uint16(record[3:]))
	_, err := io.ReadFull(ours, rest)
	return append(record, rest...), err
}
