package gateway

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// serverFrames carries what a server says in a WebSocket to the client, frame by
// frame. Where it may hold a secret the payload of all frames passes one filter
// as a whole, which changes no length: a value that a server cuts in two by the
// border of a frame comes out as one that it does not (TestEchoOverFrames).
type serverFrames struct {
	frame    serverHead
	through  letting // nil without a filter
	anew     *reframed
	payload  io.Writer // through, or anew
	control  []byte    // the payload of a control frame under way
	screened filter
}

// letting is a filter that can be asked for all that it holds back.
type letting interface {
	io.WriteCloser
	letGo() error
}

func newServerFrames(out io.Writer, through filter) *serverFrames {
	h := &serverFrames{anew: &reframed{out: out}, screened: through}
	h.payload = h.anew
	if through != nil {
		h.through = through(h.anew).(letting) //nolint:forcetypeassert // echoes are
		h.payload = h.through
	}
	return h
}

// Write takes a piece of what the server says, however it is cut.
func (h *serverFrames) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n, err := h.take(rest)
		if err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// take takes one byte of a head, or what is there of a payload.
func (h *serverFrames) take(p []byte) (int, error) {
	if !h.frame.whole {
		whole, err := h.frame.header(p[0])
		if err != nil || !whole {
			return 1, err
		}
		if h.frame.control() {
			h.control = h.control[:0]
		} else if err := h.anew.push(h.frame.head(), h.frame.left); err != nil {
			return 0, err
		}
		if h.frame.left == 0 {
			return 1, h.end()
		}
		return 1, nil
	}
	p = p[:min(uint64(len(p)), h.frame.left)]
	h.frame.left -= uint64(len(p))
	if h.frame.control() {
		h.control = append(h.control, p...)
	} else if _, err := h.payload.Write(p); err != nil {
		return 0, err
	}
	if h.frame.left == 0 {
		return len(p), h.end()
	}
	return len(p), nil
}

// end is that of a frame. With the last one of a message all of it leaves:
// whoever gets it may have to answer first.
func (h *serverFrames) end() error {
	head := h.frame.head()
	h.frame.whole, h.frame.have = false, 0
	switch {
	case h.frame.control():
		return h.pass(head)
	case h.frame.final && h.through != nil:
		return h.through.letGo()
	}
	return nil
}

// pass sends a control frame on, behind what came before it.
func (h *serverFrames) pass(head []byte) error {
	payload := h.control
	if h.screened != nil {
		var err error
		if payload, err = filterAll(h.screened, payload); err != nil {
			return err
		}
	}
	return h.anew.push(append(head, payload...), 0)
}

// Holds says no: the filter lets go by itself of what it holds.
func (h *serverFrames) Holds() bool { return false }

// Pause is for what says that it holds.
func (h *serverFrames) Pause() error { return nil }

// close lets out what is left when the server has ended.
func (h *serverFrames) close() error {
	if h.through == nil {
		return nil
	}
	return h.through.Close()
}

// closePolicy is the status of RFC 6455, 7.4.1, for a message that is not
// allowed, and maxReason how much can be said of it.
const (
	closePolicy = 1008
	maxReason   = maxControl - 2
)

// say ends the conversation by a close frame of the gateway's own, where no
// frame of the server's is under way.
func (h *serverFrames) say(why *refusal) error {
	if h.through != nil {
		abort(h.through, why)
	}
	reason := strings.ToValidUTF8("claude-bottle "+why.verb()+" this: "+why.decision.Reason, "?")
	for len(reason) > maxReason {
		_, n := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-n]
	}
	frame := binary.BigEndian.AppendUint16([]byte{frameFinal | opClose, byte(2 + len(reason))}, closePolicy)
	return h.anew.last(append(frame, reason...))
}

// errReframed is that of a filter that changes lengths, or of a frame that is
// under way.
var errReframed = errors.New("a WebSocket frame is under way")

// reframed puts payload back into the frames that it came in.
type reframed struct {
	mu    sync.Mutex // guards the rest; a filter may let go at any time
	out   io.Writer
	queue []heardFrame
	begun bool // the first of the queue left in part
	wire  []byte
}

// heardFrame is what is left of a frame: its head, and so much payload. A
// control frame is a head that has its payload in it.
type heardFrame struct {
	head []byte
	left uint64
}

// push puts a frame into the queue, and sends it if it needs no payload and
// nothing is before it.
func (r *reframed) push(head []byte, left uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, heardFrame{head, left})
	r.wire = r.wire[:0]
	r.empty()
	return r.send()
}

// Write takes payload.
func (r *reframed) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wire = r.wire[:0]
	for rest := p; len(rest) > 0; {
		if len(r.queue) == 0 {
			return 0, errReframed
		}
		f := &r.queue[0]
		n := min(uint64(len(rest)), f.left)
		r.wire = append(append(r.wire, f.head...), rest[:n]...)
		f.head, f.left, r.begun = nil, f.left-n, true
		rest = rest[n:]
		r.empty()
	}
	if err := r.send(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// empty takes frames out of the queue that lack nothing.
func (r *reframed) empty() {
	for len(r.queue) > 0 && r.queue[0].left == 0 {
		r.wire = append(r.wire, r.queue[0].head...)
		r.queue, r.begun = r.queue[1:], false
	}
}

func (r *reframed) send() error {
	if len(r.wire) == 0 {
		return nil
	}
	_, err := r.out.Write(r.wire)
	return err
}

// last sends a frame in place of what is in the queue.
func (r *reframed) last(frame []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun {
		return errReframed
	}
	r.queue = nil
	_, err := r.out.Write(frame)
	return err
}

// serverHead is the head of a frame of a server's.
type serverHead struct {
	bytes  [10]byte
	have   int
	whole  bool // the head; the payload is under way
	left   uint64
	opcode byte
	final  bool
	inside bool // a message that is not over
}

func (f *serverHead) control() bool { return f.opcode >= opClose }

// head is what of the frame is no payload.
func (f *serverHead) head() []byte { return append([]byte(nil), f.bytes[:f.have]...) }

// header takes one byte, and says whether the head is whole. What no client has
// to understand is an error (RFC 6455, 5.1, 5.2, 5.4).
func (f *serverHead) header(b byte) (bool, error) {
	f.bytes[f.have] = b
	f.have++
	if f.have < 2 {
		return false, nil
	}
	size := 2
	switch f.bytes[1] & frameLength {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if f.have == 2 {
		if err := f.check(); err != nil {
			return false, err
		}
	}
	if f.have < size {
		return false, nil
	}
	var length [8]byte
	copy(length[8-(size-2):], f.bytes[2:size])
	f.left = binary.BigEndian.Uint64(length[:])
	if size == 2 {
		f.left = uint64(f.bytes[1] & frameLength)
	}
	if f.left>>63 != 0 {
		return false, errFrame
	}
	f.whole = true
	return true, nil
}

// check refuses what the first two bytes may not say.
func (f *serverHead) check() error {
	f.opcode, f.final = f.bytes[0]&frameOpcode, f.bytes[0]&frameFinal != 0
	switch {
	case f.bytes[0]&frameReserved != 0, f.bytes[1]&frameMasked != 0,
		f.opcode > opBinary && !f.control(), f.opcode > opPong,
		f.control() && (!f.final || f.bytes[1]&frameLength > maxControl),
		!f.control() && (f.opcode == opContinuation) != f.inside:
		return errFrame
	}
	if !f.control() {
		f.inside = !f.final
	}
	return nil
}
