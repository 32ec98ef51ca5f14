package gateway

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// hello is what the gateway wants to know of a ClientHello.
type hello struct {
	name string // of the server, as the client wrote it; empty for none
	ech  bool   // encrypted: the name inside may be another one
}

var (
	errNotTLS    = errors.New("the connection does not begin with a TLS handshake")
	errHello     = errors.New("the ClientHello is malformed")
	errHelloSize = errors.New("the ClientHello is too long")
)

const (
	recordHandshake = 22
	helloMessage    = 1
	extServerName   = 0
	extECH          = 0xfe0d // RFC 9849
	extESNI         = 0xffce // its predecessor in drafts
)

// usualHello has room for what a client says first, with what it may say right
// behind it, in bytes.
const usualHello = 2 << 10

// readHello reads TLS records until they hold a whole ClientHello. raw is
// everything that was read, to be sent on.
func readHello(br *bufio.Reader) (raw []byte, h hello, err error) {
	raw = make([]byte, 0, usualHello)
	var message []byte
	for {
		header := len(raw)
		raw = append(raw, make([]byte, 5)...)
		if _, err := io.ReadFull(br, raw[header:]); err != nil {
			return raw[:header], hello{}, err
		}
		if raw[header] != recordHandshake || raw[header+1] != 3 {
			return raw, hello{}, errNotTLS
		}
		size := int(binary.BigEndian.Uint16(raw[header+3:]))
		if size == 0 { // RFC 8446, 5.1: never for handshakes
			return raw, hello{}, errHello
		}
		if len(message)+size > maxHello {
			return raw, hello{}, errHelloSize
		}
		raw = append(raw, make([]byte, size)...)
		fragment := raw[header+5 : len(raw) : len(raw)]
		if _, err := io.ReadFull(br, fragment); err != nil {
			return raw[:header+5], hello{}, fmt.Errorf("%w: %w", errHello, err)
		}
		if message == nil { // mostly all of it
			message = fragment
		} else {
			message = append(message, fragment...)
		}
		if len(raw) > 2*maxHello { // many tiny records
			return raw, hello{}, errHelloSize
		}
		done, err := helloComplete(message)
		if err != nil {
			return raw, hello{}, err
		}
		if done {
			h, err := parseHello(message)
			return raw, h, err
		}
	}
}

// helloComplete says whether message holds all of the ClientHello that it
// begins.
func helloComplete(message []byte) (bool, error) {
	if message[0] != helloMessage {
		return false, errNotTLS
	}
	if len(message) < 4 {
		return false, nil
	}
	size := int(message[1])<<16 | int(message[2])<<8 | int(message[3])
	switch {
	case size > maxHello-4:
		return false, errHelloSize
	case len(message) > 4+size: // nothing may follow before the server spoke
		return false, errHello
	default:
		return len(message) == 4+size, nil
	}
}

// parseHello reads a whole ClientHello message (RFC 8446, 4.1.2). It wants
// every length to be exact and each extension once, so that no other parser
// can find a second name in it (FuzzHello).
func parseHello(message []byte) (hello, error) {
	c := cursor(message)
	_, ok := c.take(4 + 2 + 32) // message header, version, random
	session, ok1 := c.vector8()
	suites, ok2 := c.vector16()
	compression, ok3 := c.vector8()
	if !ok || !ok1 || !ok2 || !ok3 || len(session) > 32 || len(suites) < 2 || len(suites)%2 != 0 || len(compression) == 0 {
		return hello{}, errHello
	}
	if len(c) == 0 { // no extensions, as in TLS 1.0
		return hello{}, nil
	}
	extensions, ok := c.vector16()
	if !ok || len(c) != 0 {
		return hello{}, errHello
	}
	var h hello
	seen := map[uint16]bool{}
	for len(extensions) > 0 {
		kind, ok1 := extensions.uint16()
		data, ok2 := extensions.vector16()
		if !ok1 || !ok2 || seen[kind] {
			return hello{}, errHello
		}
		seen[kind] = true
		switch kind {
		case extServerName:
			name, ok := serverName(data)
			if !ok {
				return hello{}, errHello
			}
			h.name = name
		case extECH, extESNI:
			h.ech = true
		}
	}
	return h, nil
}

// serverName reads the extension of RFC 6066, 3: one name, of type host_name.
func serverName(data cursor) (string, bool) {
	list, ok := data.vector16()
	if !ok || len(data) != 0 {
		return "", false
	}
	kind, ok1 := list.take(1)
	name, ok2 := list.vector16()
	if !ok1 || !ok2 || kind[0] != 0 || len(list) != 0 || len(name) == 0 {
		return "", false
	}
	return string(name), true
}

// cursor reads from the front of itself; every method says false rather than
// go past the end.
type cursor []byte

func (c *cursor) take(n int) (cursor, bool) {
	if len(*c) < n {
		return nil, false
	}
	part := (*c)[:n]
	*c = (*c)[n:]
	return part, true
}

func (c *cursor) uint16() (uint16, bool) {
	b, ok := c.take(2)
	if !ok {
		return 0, false
	}
	return binary.BigEndian.Uint16(b), true
}

func (c *cursor) vector8() (cursor, bool) {
	n, ok := c.take(1)
	if !ok {
		return nil, false
	}
	return c.take(int(n[0]))
}

func (c *cursor) vector16() (cursor, bool) {
	n, ok := c.uint16()
	if !ok {
		return nil, false
	}
	return c.take(int(n))
}
