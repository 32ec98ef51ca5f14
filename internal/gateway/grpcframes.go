package gateway

import (
	"encoding/binary"
	"net/http"
	"strings"
)

// messages follows the messages of a gRPC body, each of which has a byte of
// flags and its length in front (gRPC over HTTP2, Length-Prefixed-Message).
// With the end of one, what is held back of it leaves: whoever gets it may have
// to answer first (TestGRPCIsNotHeldBack). What goes on from it is still found.
type messages struct {
	head [5]byte
	have int   // of head
	left int64 // of the message
}

// messagesOf is nil for a body that has none.
func messagesOf(h http.Header) *messages {
	kind := strings.ToLower(h.Get("Content-Type"))
	if kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+") || strings.HasPrefix(kind, "application/grpc;") {
		return new(messages)
	}
	return nil
}

// ended takes p, and says whether it ends with a message.
func (m *messages) ended(p []byte) bool {
	if m == nil || len(p) == 0 {
		return false
	}
	for len(p) > 0 {
		if m.have < len(m.head) {
			n := copy(m.head[m.have:], p)
			m.have, p = m.have+n, p[n:]
			if m.have < len(m.head) {
				return false
			}
			m.left = int64(binary.BigEndian.Uint32(m.head[1:]))
		}
		n := min(m.left, int64(len(p)))
		m.left, p = m.left-n, p[n:]
		if m.left == 0 {
			m.have = 0
		}
	}
	return m.have == 0
}
