package traffic

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2"
)

// Origin is where all requests go: HTTP/1.1 in clear and over TLS, and a port
// that carries bytes.
type Origin struct {
	// Plain, Secure and Raw are ports of 127.0.0.1. League is one where it is in
	// league with clients that hoard.
	Plain, Secure, Raw, League int
	// Roots is the certificate that the origin's hangs on, PEM.
	Roots []byte

	listeners []net.Listener
	mu        sync.Mutex // guards open
	open      map[net.Conn]bool
	all       sync.WaitGroup
}

// StartOrigin serves until Close.
func StartOrigin(ctx context.Context) (*Origin, error) {
	authority, err := newAuthority()
	if err != nil {
		return nil, err
	}
	o := &Origin{Roots: authority.certificate, open: map[net.Conn]bool{}}
	config := &tls.Config{Certificates: []tls.Certificate{authority.leaf}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	league := config.Clone()
	league.NextProtos = []string{http2.NextProtoTLS, "http/1.1"}
	for _, part := range []struct {
		port  *int
		serve func(net.Conn)
	}{
		{&o.Plain, serveHTTP},
		{&o.Secure, func(conn net.Conn) { serveHTTP(tls.Server(conn, config)) }},
		{&o.Raw, serveRaw},
		{&o.League, func(conn net.Conn) { serveLeague(tls.Server(conn, league)) }},
	} {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(err, o.Close())
		}
		o.listeners = append(o.listeners, listener)
		*part.port = listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on TCP
		o.all.Go(func() { o.accept(listener, part.serve) })
	}
	return o, nil
}

// Close ends the origin and every connection it has.
func (o *Origin) Close() error {
	var err error
	for _, listener := range o.listeners {
		err = errors.Join(err, listener.Close())
	}
	o.mu.Lock()
	for conn := range o.open {
		_ = conn.Close() // its client may have gone
	}
	o.mu.Unlock()
	o.all.Wait()
	return err
}

func (o *Origin) accept(listener net.Listener, serve func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		o.open[conn] = true
		o.mu.Unlock()
		o.all.Go(func() {
			defer func() {
				_ = conn.Close()
				o.mu.Lock()
				delete(o.open, conn)
				o.mu.Unlock()
			}()
			serve(conn)
		})
	}
}

// serveHTTP answers each request with the same body; one for /bytes/N with N
// bytes.
func serveHTTP(conn net.Conn) {
	in := bufio.NewReaderSize(conn, 16<<10)
	for {
		head, err := readHead(in)
		if err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, in, head.length); err != nil {
			return
		}
		if head.bytes < 0 {
			head.bytes = int64(len(answer))
		}
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", head.bytes); err != nil {
			return
		}
		if err := send(conn, head.bytes); err != nil {
			return
		}
	}
}

// head is what matters of a request or an answer.
type head struct {
	first  string
	length int64 // of the body
	bytes  int64 // that a request asks for; -1 for the usual answer
}

func readHead(in *bufio.Reader) (head, error) {
	h := head{bytes: -1}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return h, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			return h, nil
		case h.first == "":
			h.first = string(line)
			if _, count, ok := strings.Cut(h.first, "/bytes/"); ok {
				count, _, _ = strings.Cut(count, " ")
				if h.bytes, err = strconv.ParseInt(count, 10, 64); err != nil {
					return h, err
				}
			}
		case len(line) > 16 && bytes.EqualFold(line[:15], []byte("content-length:")):
			if h.length, err = strconv.ParseInt(string(bytes.TrimSpace(line[15:])), 10, 64); err != nil {
				return h, err
			}
		}
	}
}

// What the raw port is told to do after a ClientHello: the letter, and how
// many bytes (8, big-endian).
const (
	download = 'd' // send that many
	upload   = 'u' // take that many, then say one byte
)

// serveRaw takes a ClientHello, which a gateway wants to see, and then does
// what it is told.
func serveRaw(conn net.Conn) {
	in := bufio.NewReaderSize(conn, 16<<10)
	record := make([]byte, 5) // RFC 8446, section 5.1
	if _, err := io.ReadFull(in, record); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, in, int64(binary.BigEndian.Uint16(record[3:]))); err != nil {
		return
	}
	order := make([]byte, 9)
	for {
		if _, err := io.ReadFull(in, order); err != nil {
			return
		}
		count := int64(binary.BigEndian.Uint64(order[1:])) //nolint:gosec // of our own clients
		if order[0] == download {
			if err := send(conn, count); err != nil {
				return
			}
			continue
		}
		if _, err := io.CopyN(io.Discard, in, count); err != nil {
			return
		}
		if _, err := conn.Write([]byte{0}); err != nil {
			return
		}
	}
}

// send writes that many bytes.
func send(w io.Writer, count int64) error {
	chunk := make([]byte, min(count, 64<<10))
	for count > 0 {
		n, err := w.Write(chunk[:min(count, int64(len(chunk)))])
		if err != nil {
			return err
		}
		count -= int64(n)
	}
	return nil
}
