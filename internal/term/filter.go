package term

import (
	"io"
	"unicode/utf8"
)

// Filter is the way from a bottle to the person's terminal. Text passes,
// and of control sequences those that the tables allow, each complete and in
// its seven-bit form; everything else is dropped. It holds a bounded number
// of bytes, and its output is never longer than its input.
//
// What is refused is whatever the tables do not list. The attacks that this
// stops are those in which output becomes input of the person's own (answers
// with a text of the sender's choice), leaves the terminal (clipboard, files,
// printer, links, notifications), or outlasts the bottle (keys, colours).
// Queries pass when their answer has a fixed shape of digits.
//
// A Filter is not safe for concurrent use.
type Filter struct {
	w    io.Writer
	utf8 bool

	state   state
	seq     []byte // of the sequence under way, without its introducer
	toolong bool   // seq lacks bytes
	partial []byte // of one character, not yet whole
	out     []byte
	modes   modes
}

type state int

const (
	ground  state = iota
	escape        // after ESC
	between       // after ESC and intermediate bytes
	control       // in CSI ... final
	command       // in OSC ... ST
	commandEscape
	ignored // in a string that is dropped whatever it says: DCS, SOS, PM, APC
	ignoredEscape
)

// maxSequence bounds what one sequence may be, in bytes.
const maxSequence = 512

const (
	bel = 0x07
	can = 0x18
	sub = 0x1a
	esc = 0x1b
	del = 0x7f
)

// NewFilter filters towards w. A terminal that does not speak UTF-8 (see
// SpeaksUTF8) takes the bytes 0x80 to 0x9f for control characters, so these
// are dropped then, also inside what would be a letter.
func NewFilter(w io.Writer, speaksUTF8 bool) *Filter {
	return &Filter{w: w, utf8: speaksUTF8, seq: make([]byte, 0, maxSequence), partial: make([]byte, 0, utf8.UTFMax)}
}

// SpeaksUTF8 is what the environment says of the terminal, locale(7).
func SpeaksUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := getenv(name); value != "" {
			return utf8Locale(value)
		}
	}
	// Without a locale most terminals are UTF-8 all the same, and an agent's
	// screen is full of it.
	return true
}

// Write filters p. The count is of p; an error is that of the underlying
// writer.
func (f *Filter) Write(p []byte) (int, error) {
	f.out = f.out[:0]
	for _, b := range p {
		f.step(b)
	}
	if len(f.out) == 0 {
		return len(p), nil
	}
	if _, err := f.w.Write(f.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close drops what is incomplete and undoes what the bottle did to the
// terminal and did not undo itself: modes, colours, the other screen. It does
// not close the underlying writer. The Filter can be used again.
func (f *Filter) Close() error {
	f.begin(ground)
	f.partial = f.partial[:0]
	undo := f.modes.undo()
	if len(undo) == 0 {
		return nil
	}
	_, err := f.w.Write(undo)
	return err
}

// begin enters a state with an empty sequence.
func (f *Filter) begin(s state) {
	f.state, f.seq, f.toolong = s, f.seq[:0], false
}

func (f *Filter) collect(b byte) {
	if len(f.seq) == maxSequence {
		f.toolong = true
		return
	}
	f.seq = append(f.seq, b)
}

// step is the state machine of ECMA-48 and the VT500 series, with one
// difference: what is malformed is dropped whole, never acted upon in part.
func (f *Filter) step(b byte) {
	switch f.state {
	case ground:
		f.ground(b)
	case escape:
		f.escape(b)
	case between:
		f.between(b)
	case control:
		f.control(b)
	case command:
		f.command(b)
	case commandEscape:
		if b == '\\' {
			f.osc()
			f.begin(ground)
			return
		}
		f.restart(b)
	case ignored:
		f.ignored(b)
	case ignoredEscape:
		if b == '\\' {
			f.begin(ground)
			return
		}
		f.restart(b)
	}
}

// restart drops a string that an ESC cut short; b follows that ESC.
func (f *Filter) restart(b byte) {
	f.begin(escape)
	f.escape(b)
}

func (f *Filter) ground(b byte) {
	if b >= utf8.RuneSelf || len(f.partial) > 0 {
		f.character(b)
		return
	}
	switch {
	case b == esc:
		f.begin(escape)
	case b >= ' ' && b != del, allowedC0(b):
		f.out = append(f.out, b)
		f.modes.c0(b)
	}
}

// character collects the bytes of one character beyond ASCII. Of what is not
// UTF-8 each byte becomes a question mark; the control characters U+0080 to
// U+009F, which introduce sequences as ESC does, are dropped.
func (f *Filter) character(b byte) {
	if !f.utf8 {
		if b >= 0xa0 {
			f.out = append(f.out, b)
		}
		return
	}
	f.partial = append(f.partial, b)
	for len(f.partial) > 0 && utf8.FullRune(f.partial) {
		r, size := utf8.DecodeRune(f.partial)
		if r == utf8.RuneError && size == 1 {
			f.malformed()
			return
		}
		if r >= 0xa0 {
			f.out = append(f.out, f.partial[:size]...)
		}
		f.partial = append(f.partial[:0], f.partial[size:]...)
	}
}

// malformed gives up the first byte of partial and takes the others anew.
func (f *Filter) malformed() {
	var rest [utf8.UTFMax]byte
	n := copy(rest[:], f.partial[1:])
	f.partial = f.partial[:0]
	f.out = append(f.out, '?')
	for _, b := range rest[:n] {
		f.step(b)
	}
}

// abandon drops the sequence under way; b is the next byte of the text.
func (f *Filter) abandon(b byte) {
	f.begin(ground)
	if b != can && b != sub {
		f.ground(b)
	}
}

func (f *Filter) escape(b byte) {
	switch {
	case b == esc:
	case b == '[':
		f.begin(control)
	case b == ']':
		f.begin(command)
	case isOpener(b):
		f.begin(ignored)
	case b >= ' ' && b <= '/':
		f.begin(between)
		f.collect(b)
	case b >= '0' && b <= '~':
		f.begin(ground)
		f.short("", b)
	default:
		f.abandon(b)
	}
}

// isOpener tells whether ESC b begins a string that is dropped up to its end:
// DCS, SOS, PM, APC, and the title of screen(1).
func isOpener(b byte) bool {
	return b == 'P' || b == 'X' || b == '^' || b == '_' || b == 'k'
}

func (f *Filter) between(b byte) {
	switch {
	case b == esc:
		f.begin(escape)
	case b >= ' ' && b <= '/':
		f.collect(b)
	case b >= '0' && b <= '~':
		if !f.toolong {
			f.short(string(f.seq), b)
		}
		f.begin(ground)
	default:
		f.abandon(b)
	}
}

func (f *Filter) control(b byte) {
	switch {
	case b == esc:
		f.begin(escape)
	case b >= ' ' && b <= '?':
		f.collect(b)
	case b >= '@' && b <= '~':
		if !f.toolong {
			f.csi(b)
		}
		f.begin(ground)
	default:
		f.abandon(b)
	}
}

func (f *Filter) command(b byte) {
	switch b {
	case bel:
		f.osc()
		f.begin(ground)
	case esc:
		f.state = commandEscape
	case can, sub:
		f.begin(ground)
	default:
		f.collect(b)
	}
}

func (f *Filter) ignored(b byte) {
	switch b {
	case esc:
		f.state = ignoredEscape
	case can, sub:
		f.begin(ground)
	}
}
