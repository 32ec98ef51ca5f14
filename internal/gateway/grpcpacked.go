package gateway

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"claude-bottle/internal/scan"
)

// bodyForm is what a head says of how its body is read.
type bodyForm struct {
	kind    string   // the content type
	codings []string // of the whole body
	packing []string // of messages in it, one by one
}

// packs says whether a body of that kind consists of messages, each of which may
// be compressed by itself: gRPC, gRPC-Web and the streams of Connect. What
// gRPC-Web says in base64 is read otherwise.
func packs(kind string) bool {
	kind = strings.ToLower(kind)
	return strings.HasPrefix(kind, "application/grpc") && !spelled(kind) || strings.HasPrefix(kind, "application/connect+")
}

func spelled(kind string) bool {
	return strings.HasPrefix(strings.ToLower(kind), "application/grpc-web-text")
}

// packed is the gate of a body of messages (gRPC over HTTP2, Length-Prefixed-
// Message): what is compressed is looked at as what it decodes to as well, each
// message by itself, in as much memory as any body (TestPackedMessages).
type packed struct {
	scanner *scan.Scanner
	coding  string // of messages that say that they are compressed; "" for none
	out     io.Writer
	judge   func(scan.Finding) scan.Verdict // of what is compressed
	plain   *scan.Gate                      // of heads, and of messages that are not
	within  *scan.Coded                     // the message under way; nil where that is plain
	head    [5]byte
	have    int   // of head
	left    int64 // of the message
}

// errUnpacked ends a body in which a message is compressed, and nothing says
// how.
var errUnpacked = errors.New("a message says that it is compressed, and nothing says how")

func (p *packed) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		take := p.message
		if p.have < len(p.head) {
			take = p.begin
		}
		n, err := take(rest)
		if err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

// begin takes the head of a message.
func (p *packed) begin(b []byte) (int, error) {
	n := copy(p.head[p.have:], b)
	p.have += n
	if _, err := p.plain.Write(b[:n]); err != nil || p.have < len(p.head) {
		return n, err
	}
	p.left = int64(binary.BigEndian.Uint32(p.head[1:]))
	if compressed := p.head[0]&1 != 0; compressed {
		if p.coding == "" {
			return n, errUnpacked
		}
		if err := p.plain.Pause(); err != nil { // it comes first
			return n, err
		}
		var err error
		if p.within, err = p.scanner.Coded(p.coding, p.out, p.judge); err != nil {
			return n, err
		}
	}
	return n, p.over()
}

// message takes what is in one.
func (p *packed) message(b []byte) (int, error) {
	n := int(min(p.left, int64(len(b))))
	var to io.Writer = p.plain
	if p.within != nil {
		to = p.within
	}
	if _, err := to.Write(b[:n]); err != nil {
		return n, err
	}
	p.left -= int64(n)
	return n, p.over()
}

// over ends a message of which nothing is left.
func (p *packed) over() error {
	if p.left > 0 {
		return nil
	}
	p.have = 0
	if p.within == nil {
		return nil
	}
	defer func() { p.within = nil }()
	return p.within.Close()
}

// Holds is [scan.Gate.Holds].
func (p *packed) Holds() bool { return p.plain.Holds() || p.within != nil && p.within.Holds() }

// Pause is [scan.Gate.Pause].
func (p *packed) Pause() error {
	if err := p.plain.Pause(); err != nil || p.within == nil {
		return err
	}
	return p.within.Pause()
}

// Close ends the body. A compressed message that is cut short is an error.
func (p *packed) Close() error {
	if p.within != nil {
		defer p.Stop()
		if err := p.within.Close(); err != nil {
			return err
		}
	}
	return p.plain.Close()
}

// Stop gives the body up.
func (p *packed) Stop() {
	if p.within != nil {
		p.within.Stop()
		p.within = nil
	}
}
