package gateway

import (
	"encoding/binary"
	"net"
)

const (
	recordHead  = 5       // bytes before a record's fragment: type, version, length
	firstRecord = 4 << 10 // bytes that are read before a record's length is known
)

// recordwise is a connection below TLS that is read record by record (RFC 8446,
// 5.1), by no more calls than otherwise. crypto/tls keeps twice the room of the
// largest record for good once it was given the beginning of a next one behind
// that: over a thousand connections 16 MiB (TestRecords).
type recordwise struct {
	net.Conn
	behind []byte // was read and belongs to the next record; in room, mostly
	room   [recordHead]byte
	head   [recordHead]byte
	seen   int // bytes of head
	left   int // bytes of the fragment
}

// NetConn is the connection that was tracked.
func (r *recordwise) NetConn() net.Conn { return r.Conn }

// Read gives nothing from behind the end of a record together with what is
// before it.
func (r *recordwise) Read(p []byte) (int, error) {
	if len(r.behind) > 0 {
		n := r.within(p[:copy(p, r.behind)])
		r.behind = r.behind[n:]
		return n, nil
	}
	most := firstRecord
	if r.left > 0 {
		most = r.left + recordHead
	}
	n, err := r.Conn.Read(p[:min(len(p), most)])
	given := r.within(p[:n])
	if given < n {
		r.behind = append(r.room[:0], p[given:n]...)
		err = nil // it comes again
	}
	return given, err
}

// within follows p, and says how much of it is up to the end of the record that
// it begins in.
func (r *recordwise) within(p []byte) int {
	n := 0
	for n < len(p) {
		if r.seen < recordHead {
			r.head[r.seen] = p[n]
			n++
			if r.seen++; r.seen < recordHead {
				continue
			}
			r.left = int(binary.BigEndian.Uint16(r.head[3:]))
		}
		part := min(r.left, len(p)-n)
		r.left -= part
		n += part
		if r.left == 0 {
			r.seen = 0
			break
		}
	}
	return n
}
