package term

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// modes is what a bottle did to the terminal, as far as the filter let it,
// and has not undone. A program that is killed leaves it as it was: the other
// screen, no cursor, mouse clicks as text.
type modes struct {
	private  []int // DEC private modes that are not as terminals begin, in the order of their setting
	insert   bool
	style    bool // colour and weight
	cursor   bool // shape
	region   bool
	charset  bool
	keypad   bool
	otherKey bool
	kitty    int // entries pushed
	kittySet bool
	progress bool
	above    bool // the cursor may be above what was written
}

// maxPushed bounds kitty; terminals keep fewer.
const maxPushed = 32

// onByDefault are the private modes with which terminals begin.
var onByDefault = []int{7, 12, 25, 1007, 1034}

// neverUndone are those that have no state, or whose undoing does harm.
var neverUndone = []int{12, 1007, 1034, 1048}

func (m *modes) c0(b byte) {
	if b == shiftOut {
		m.charset = true
	}
}

func (m *modes) short(intermediate string, final byte) {
	switch {
	case intermediate != "":
		m.charset = true
	case final == '=':
		m.keypad = true
	case final == '>':
		m.keypad = false
	case final == 'c':
		*m = modes{}
	}
	m.above = m.above || strings.IndexByte(upwardShort, final) >= 0
}

func (m *modes) command(content []byte) {
	if bytes.HasPrefix(content, []byte("9;4;")) {
		m.progress = content[4] != '0'
	}
}

// upward and upwardShort end the sequences, with CSI and without, that may leave
// the cursor above what was written, or write below it.
const (
	upward      = "AFHdfrsuLT"
	upwardShort = "8M"
)

func (m *modes) control(prefix string, parameters []string, intermediate string, final byte) {
	m.above = m.above || prefix+intermediate == "" && strings.IndexByte(upward, final) >= 0
	switch prefix + intermediate + string(final) {
	case "?h", "?l":
		for _, p := range parameters {
			m.setPrivate(number(p), final == 'h')
		}
	case "h", "l":
		m.insert = final == 'h'
	case "m":
		m.style = len(parameters) != 0 && strings.Trim(strings.Join(parameters, ""), "0") != ""
	case "r":
		m.region = len(parameters) > 0
	case "s":
		m.region = m.region || len(parameters) > 0
	case " q":
		m.cursor = len(parameters) > 0 && number(parameters[0]) != 0
	case ">m":
		m.otherKey = len(parameters) > 1 && number(parameters[1]) != 0
	case ">u":
		m.kitty = min(m.kitty+1, maxPushed)
	case "<u":
		popped := 1
		if len(parameters) > 0 {
			popped = max(1, number(parameters[0]))
		}
		m.kitty = max(0, m.kitty-popped)
	case "=u":
		m.kittySet = true
	}
}

func (m *modes) setPrivate(mode int, on bool) {
	if slices.Contains(neverUndone, mode) {
		return
	}
	m.private = slices.DeleteFunc(m.private, func(other int) bool { return other == mode })
	if on != slices.Contains(onByDefault, mode) {
		m.private = append(m.private, mode)
	}
}

// undo returns the sequences that bring the terminal back, and forgets.
// Keyboard and mouse come first, since they belong to the screen that is left.
func (m *modes) undo() []byte {
	var b bytes.Buffer
	write := func(needed bool, sequence string) {
		if needed {
			b.WriteString(sequence)
		}
	}
	write(m.kittySet, "\x1b[=0u")
	if m.kitty > 0 {
		fmt.Fprintf(&b, "\x1b[<%du", m.kitty)
	}
	write(m.otherKey, "\x1b[>4m")
	write(m.keypad, "\x1b>")
	write(m.insert, "\x1b[4l")
	write(m.style, "\x1b[m")
	write(m.charset, "\x0f\x1b(B\x1b)B")
	write(m.region, "\x1b7\x1b[r\x1b8") // r moves the cursor
	write(m.cursor, "\x1b[0 q")
	write(m.progress, "\x1b]9;4;0\a")
	for _, mode := range slices.Backward(m.private) {
		final := byte('l')
		if slices.Contains(onByDefault, mode) {
			final = 'h'
		}
		fmt.Fprintf(&b, "\x1b[?%d%c", mode, final)
	}
	if m.kitty > 0 && slices.ContainsFunc(m.private, otherScreen) {
		fmt.Fprintf(&b, "\x1b[<%du", m.kitty) // each screen has its own entries
	}
	// What is below would stand beside our own lines, as if it were of them.
	write(m.above, "\x1b[J")
	*m = modes{}
	return b.Bytes()
}

func otherScreen(mode int) bool { return mode == 47 || mode == 1047 || mode == 1049 }
