package scan

import (
	"errors"
	"io"
	"iter"
)

// maxHeld bounds what a Coded keeps of a body before what it decodes to has
// been seen: a decompressor tells what it knows every 32 KiB.
const maxHeld = 96 << 10

// codedBuffer is no divisor of 32 KiB: what a decompressor says at once then
// never fills whole buffers, and the end of it shows.
const codedBuffer = 10_000

var (
	// ErrHidden says that a body in a content coding goes on for too long
	// without decoding to anything.
	ErrHidden = errors.New("a body holds what decodes to nothing")
	// ErrBehind says that something follows where the coding has ended, which
	// nobody would have to look at.
	ErrBehind = errors.New("a body goes on behind the end of its content coding")
)

// Coded is a [Gate] for a body in a content coding: it looks at what the body
// decodes to, and at the body itself, whose framing can hold text too, and lets
// out the bytes as they came. It cannot redact: every verdict but Pass ends it.
//
// Coded must be closed, or stopped when it is given up.
type Coded struct {
	out    io.Writer
	decide func(Finding) Verdict
	plain  *Stream // of what the body decodes to
	raw    *Stream

	coding  io.Reader
	feed    feed
	resume  func() (struct{}, bool)
	stop    func()
	held    []byte
	took    int64       // of the body, in all
	left    int64       // of it, let out
	clean   int64       // of it, up to which all that it decodes to may leave
	marks   []codedMark // behind clean
	decoded int64
	ended   bool // the coding
	err     error
}

// codedMark says that the body up to here decodes to so much, which was seen,
// and to nothing else.
type codedMark struct{ body, decoded int64 }

// Coded makes one for a body in the coding that encoding names, or fails with
// [ErrEncoding].
func (s *Scanner) Coded(encoding string, out io.Writer, decide func(Finding) Verdict) (*Coded, error) {
	c := &Coded{out: out, decide: decide, plain: s.Stream(), raw: s.Stream()}
	var err error
	c.coding, err = Decode(encoding, &c.feed, 0)
	return c, err
}

// decompress goes on decoding with what was fed. The decompressor asks for
// bytes wherever it is, and is left there until there are more.
func (c *Coded) decompress() {
	if c.resume == nil {
		c.resume, c.stop = iter.Pull(func(yield func(struct{}) bool) {
			c.feed.wait = func() bool { return yield(struct{}{}) }
			c.decode(c.coding)
		})
	}
	c.resume()
}

// decode reads r to its end, or to what ends it.
func (c *Coded) decode(r io.Reader) {
	buffer := make([]byte, codedBuffer)
	for c.err == nil {
		n, err := r.Read(buffer)
		c.judge(c.plain.Write(buffer[:n]))
		c.decoded += int64(n)
		if n < len(buffer) {
			c.mark()
		}
		if errors.Is(err, io.EOF) {
			c.ended = true
			c.judge(c.plain.Close())
			c.clean = c.feed.read
			return
		}
		if err != nil && c.err == nil && !c.feed.stopped {
			c.err = err
		}
		if err != nil {
			return
		}
	}
}

// mark notes how far the body was seen, and what of it may leave.
func (c *Coded) mark() {
	if last := len(c.marks) - 1; last >= 0 && c.marks[last].decoded == c.decoded {
		c.marks = c.marks[:last]
	}
	c.marks = append(c.marks, codedMark{c.feed.read, c.decoded})
	c.advance(c.plain.Safe(false))
}

// advance lets out what decodes to the first safe bytes.
func (c *Coded) advance(safe int64) {
	n := 0
	for n < len(c.marks) && c.marks[n].decoded <= safe {
		c.clean = c.marks[n].body
		n++
	}
	c.marks = c.marks[:copy(c.marks, c.marks[n:])]
}

func (c *Coded) judge(found []Finding) {
	for _, f := range found {
		if c.err == nil && c.decide(f) != Pass {
			c.err = ErrBlocked
		}
	}
}

// Write takes p. Errors are the destination's, those of the coding, or
// [ErrBlocked].
func (c *Coded) Write(p []byte) (int, error) {
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	c.judge(c.raw.Write(p))
	c.held = append(c.held, p...)
	c.took += int64(len(p))
	c.feed.text = p
	if !c.ended && c.err == nil {
		c.decompress()
	}
	switch {
	case c.err != nil:
		return 0, c.fail(c.err)
	case len(c.feed.text) > 0:
		return 0, c.fail(ErrBehind)
	}
	if err := c.release(min(c.clean, c.raw.Safe(false))); err != nil {
		return 0, err
	}
	if len(c.held) > maxHeld {
		return 0, c.fail(ErrHidden)
	}
	return len(p), nil
}

// Holds says whether anything is held back that Pause would let out.
func (c *Coded) Holds() bool { return len(c.marks) > 0 || c.clean > c.left }

// Pause is [Gate.Pause], for what was seen: a decompressor may not have said
// yet what the last bytes decode to.
func (c *Coded) Pause() error {
	if c.err != nil {
		return c.err
	}
	c.advance(c.decoded)
	return c.release(c.clean)
}

// Close ends the body, and lets out the rest of it.
func (c *Coded) Close() error {
	defer c.end()
	if c.err != nil || c.took == 0 {
		return c.err
	}
	c.judge(c.raw.Close())
	c.feed.over = true
	if !c.ended && c.err == nil {
		c.decompress()
	}
	if c.err != nil {
		return c.fail(c.err)
	}
	err := c.release(c.took)
	if err == nil {
		c.err = io.ErrClosedPipe
	}
	return err
}

// Stop gives the body up.
func (c *Coded) Stop() {
	c.feed.stopped = true
	c.end()
	if c.err == nil {
		c.err = io.ErrClosedPipe
	}
}

func (c *Coded) end() {
	if c.stop != nil {
		c.stop()
	}
}

func (c *Coded) fail(err error) error {
	clear(c.held)
	c.held, c.err = nil, err
	return err
}

func (c *Coded) release(to int64) error {
	n := int(to - c.left)
	if n <= 0 {
		return nil
	}
	if _, err := c.out.Write(c.held[:n]); err != nil {
		return c.fail(err)
	}
	c.left = to
	c.held = c.held[:copy(c.held, c.held[n:])]
	return nil
}

// feed is a reader of what it is given bit by bit; in between it waits.
type feed struct {
	text    []byte
	read    int64
	over    bool
	stopped bool
	wait    func() bool // for more; false when there will be none
}

func (f *feed) Read(p []byte) (int, error) {
	if err := f.more(); err != nil {
		return 0, err
	}
	n := copy(p, f.text)
	f.text = f.text[n:]
	f.read += int64(n)
	return n, nil
}

func (f *feed) ReadByte() (byte, error) {
	if err := f.more(); err != nil {
		return 0, err
	}
	b := f.text[0]
	f.text = f.text[1:]
	f.read++
	return b, nil
}

func (f *feed) more() error {
	for len(f.text) == 0 {
		if f.over {
			return io.EOF
		}
		if !f.wait() {
			f.stopped = true
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}
