package gateway

import (
	"encoding/binary"
	"errors"
	"io"

	"claude-bottle/internal/scan"
)

// Frames of a WebSocket (RFC 6455, 5.2).
const (
	frameFinal    = 0x80
	frameReserved = 0x70
	frameOpcode   = 0x0f
	frameMasked   = 0x80
	frameLength   = 0x7f

	opContinuation = 0
	opBinary       = 2
	opClose        = 8
	opPong         = 10

	maxControl    = 125      // bytes of a control frame's payload
	maxFrameHead  = 14       // bytes
	maxHeldFrames = 64 << 10 // bytes that wait for what has begun in them
)

var errFrame = errors.New("the WebSocket frames are malformed")

// frames looks at what a client says in a WebSocket, and lets out the frames as
// they came once their payload was looked at. A client that does not mask, or
// that uses an extension, which would hide what it says, is refused. Each
// message is looked at by itself, and the payloads of all of them as one, so
// that a value in pieces is found (TestSplitOverFrames). What a message ends
// with is not held back for what the next one may bring: whoever gets it may
// have to answer first. Within a message as much is held back of whatever it
// says: a ping behind it is answered as soon or as late (TestFramesTellNothing).
type frames struct {
	out     io.Writer
	notes   bool // see scan.Gate
	judge   func(f scan.Finding, split bool) error
	message *scan.Stream
	control *scan.Stream // frames in between
	joined  *scan.Stream

	head   [maxFrameHead]byte
	have   int // bytes of the head under way
	whole  bool
	left   uint64
	key    [4]byte
	at     int // within the key
	opcode byte
	final  bool
	inside bool // a message that is not over

	held    []byte
	base    int64       // of held's first byte, on the wire
	payload int64       // of messages, so far
	marks   []frameMark // in held
	plain   []byte      // scratch
}

// frameMark says that the wire up to here holds the payload up to there.
type frameMark struct{ wire, payload int64 }

func newFrames(s *scan.Scanner, out io.Writer, notes bool, judge func(scan.Finding, bool) error) *frames {
	return &frames{out: out, notes: notes, judge: judge, message: s.Stream(), control: s.Stream(), joined: s.Stream()}
}

// Write takes a piece of what the client says, however it is cut.
func (f *frames) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		take := f.header
		if f.whole {
			take = f.body
		}
		n, err := take(rest)
		if err != nil {
			f.held = nil
			return 0, err
		}
		rest = rest[n:]
	}
	if err := f.release(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// size is that of the head, as far as its second byte says it.
func (f *frames) size() int {
	switch f.head[1] & frameLength {
	case 126:
		return 2 + 2 + 4
	case 127:
		return 2 + 8 + 4
	default:
		return 2 + 4
	}
}

// header takes one byte of a frame's head.
func (f *frames) header(p []byte) (int, error) {
	f.head[f.have] = p[0]
	f.have++
	f.held = append(f.held, p[0])
	if f.have == 2 {
		if err := f.checkHead(); err != nil {
			return 0, err
		}
	}
	if f.have < 2 || f.have < f.size() {
		return 1, nil
	}
	rest := f.head[2:f.have]
	switch f.head[1] & frameLength {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(rest))
	case 127:
		f.left = binary.BigEndian.Uint64(rest)
	default:
		f.left = uint64(f.head[1] & frameLength)
	}
	if f.left>>63 != 0 {
		return 0, errFrame
	}
	copy(f.key[:], rest[len(rest)-len(f.key):])
	f.at, f.whole, f.have = 0, true, 0
	if f.left == 0 {
		return 1, f.end()
	}
	return 1, nil
}

// checkHead refuses what the first two bytes may not say.
func (f *frames) checkHead() error {
	f.opcode, f.final = f.head[0]&frameOpcode, f.head[0]&frameFinal != 0
	control := f.opcode >= opClose
	switch {
	case f.head[0]&frameReserved != 0, f.head[1]&frameMasked == 0,
		f.opcode > opBinary && !control, f.opcode > opPong,
		control && (!f.final || f.head[1]&frameLength > maxControl),
		f.opcode == opContinuation && !f.inside, !control && f.opcode != opContinuation && f.inside:
		return errFrame
	}
	return nil
}

// body takes payload.
func (f *frames) body(p []byte) (int, error) {
	n := int(min(uint64(len(p)), f.left)) //nolint:gosec // G115: at most len(p)
	f.held = append(f.held, p[:n]...)
	f.plain = append(f.plain[:0], p[:n]...)
	for i := range f.plain {
		f.plain[i] ^= f.key[(f.at+i)&3]
	}
	f.at += n
	f.left -= uint64(n) //nolint:gosec // G115: not negative
	stream := f.control
	if f.opcode < opClose {
		stream = f.message
		f.payload += int64(n)
	}
	if err := f.report(stream.Write(f.plain), false); err != nil {
		return 0, err
	}
	if err := f.report(f.joined.Write(f.plain), true); err != nil {
		return 0, err
	}
	if f.opcode < opClose {
		f.mark()
	}
	if f.left == 0 {
		return n, f.end()
	}
	return n, nil
}

// mark notes that the wire may leave up to here together with the payload.
func (f *frames) mark() {
	if last := len(f.marks) - 1; last >= 0 && f.marks[last].payload == f.payload {
		f.marks = f.marks[:last]
	}
	f.marks = append(f.marks, frameMark{f.base + int64(len(f.held)), f.payload})
}

// end is that of a frame.
func (f *frames) end() error {
	f.whole = false
	f.mark()
	if f.opcode >= opClose {
		return f.report(f.control.Close(), false)
	}
	f.inside = !f.final
	if f.inside {
		return nil
	}
	return f.report(f.message.Close(), false)
}

// report asks about findings. Of all payloads together only the run's own
// count.
func (f *frames) report(found []scan.Finding, split bool) error {
	for _, one := range found {
		if split && one.Kind == scan.Credential {
			continue
		}
		if err := f.judge(one, split); err != nil {
			return err
		}
	}
	return nil
}

// release lets out what can be part of nothing, and all that is there when no
// message and no frame is under way.
func (f *frames) release() error {
	to := f.base
	kept := f.marks[:0]
	safe := f.payload
	if f.inside || f.whole {
		safe -= max(f.message.Pending(f.notes), f.joined.Pending(f.notes))
	}
	for _, mark := range f.marks {
		if mark.payload <= safe {
			to = mark.wire
			continue
		}
		kept = append(kept, mark)
	}
	f.marks = kept
	if err := f.let(to); err != nil {
		return err
	}
	if len(f.held) > maxHeldFrames {
		return errFrame // of a few bytes of payload in very many frames
	}
	return nil
}

// Holds says whether anything of a payload is held back.
func (f *frames) Holds() bool { return len(f.marks) > 0 }

// Pause lets out all that was looked at, when the client has had nothing to say
// for a while.
func (f *frames) Pause() error {
	if len(f.marks) == 0 {
		return nil
	}
	to := f.marks[len(f.marks)-1].wire
	f.marks = f.marks[:0]
	return f.let(to)
}

// let lets out the wire up to there.
func (f *frames) let(to int64) error {
	n := int(to - f.base)
	if n <= 0 {
		return nil
	}
	if _, err := f.out.Write(f.held[:n]); err != nil {
		return err
	}
	f.held = f.held[:copy(f.held, f.held[n:])]
	f.base = to
	return nil
}
