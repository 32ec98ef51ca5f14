package term

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// The tables of what passes. Refused, by not being here:
//
//	ENQ                     answerback: a text that the terminal types
//	ESC Z, CSI = c, CSI x   answers nobody needs
//	ESC SP F/G, ESC %       other control characters, other encodings
//	CSI ... t               window reports and titles read back (CVE-2003-0063), resizing
//	CSI i                   printing, which starts a program
//	CSI * y                 checksums: reads the screen
//	CSI " p, CSI ? 2 l      another terminal, whose sequences are others (VT52)
//	CSI ? 1001 h, CSI T     highlight tracking: the terminal waits for an answer
//	DCS                     status requests answered with the sender's text
//	                        (CVE-2008-2383), keys redefined, sixel (CVE-2022-24130)
//	APC, PM, SOS            graphics, file access of some terminals
//	OSC 52                  the clipboard, read and written
//	OSC 50, 3, 46           fonts answered back (CVE-2022-45063), properties, log files
//	OSC 4, 10 to 19 (set)   colours, which outlast the bottle and hide our questions
//	OSC 7, 133, 633         the terminal's idea of directory and commands
//	OSC 8                   links: one click carries what the target says out,
//	                        past the gateway, and the text need not be the target
//	OSC 9, 99, 777          notifications (CVE-2022-41322), macros
//	OSC 1337                file transfer, variables
//
// TestFilterRefuses has each.

// allowedC0 are the control characters that move the cursor, ring, or switch
// between character sets that shortTable allows.
func allowedC0(b byte) bool {
	return b == bel || b >= '\b' && b <= '\r' || b == shiftOut || b == shiftIn
}

const (
	shiftOut = 0x0e
	shiftIn  = 0x0f
)

// shortTable are the sequences ESC, intermediate bytes, final byte.
var shortTable = []struct {
	intermediate string
	finals       string
	why          string
}{
	{"", "78", "cursor saved and restored"},
	{"", "DEM", "line feeds of all kinds"},
	{"", "H", "tabulator set"},
	{"", "=>", "keypad's modes"},
	{"", "c", "full reset"},
	{"(", "0AB", "character sets: ASCII, and lines for ncurses"},
	{")", "0AB", "the same for the second set"},
}

// controlRow is a family of sequences CSI, prefix, parameters, intermediate
// bytes, final byte.
type controlRow struct {
	prefix       string
	intermediate string
	finals       string
	most         int   // parameters
	only         []int // values of the first parameter; none: any
	each         []int // values that pass among the parameters; none: any
	why          string
}

// maxParameter keeps repetitions and scrolls affordable.
const maxParameter = 9999

var controlTable = []controlRow{
	{finals: "ABCDEFGHIZ`adef", most: 2, why: "cursor movement"},
	{finals: "JK", most: 1, why: "erasing, the scrollback included"},
	{prefix: "?", finals: "JK", most: 1, why: "selective erasing"},
	{finals: "LMPX@STb", most: 1, why: "insert, delete, scroll, repeat"},
	{finals: "g", most: 1, why: "tabulators cleared"},
	{finals: "r", most: 2, why: "scroll region"},
	{finals: "s", most: 2, why: "cursor saved, or left and right margin"},
	{finals: "u", most: 0, why: "cursor restored"},
	{finals: "m", most: 32, why: "colour and weight"},
	{finals: "hl", most: 8, each: []int{4}, why: "insert mode"},
	{prefix: "?", finals: "hl", most: 16, each: privateModes, why: "full-screen programs; see privateModes"},
	{intermediate: " ", finals: "q", most: 1, why: "shape of the cursor"},
	{intermediate: "!", finals: "p", most: 0, why: "soft reset"},
	{prefix: ">", finals: "m", most: 2, only: []int{4}, why: "modifyOtherKeys"},
	{prefix: ">", finals: "u", most: 1, why: "kitty keyboard: push"},
	{prefix: "<", finals: "u", most: 1, why: "kitty keyboard: pop"},
	{prefix: "=", finals: "u", most: 2, why: "kitty keyboard: set"},

	// Queries. Each answer is digits of the terminal's in a fixed frame.
	{finals: "c", most: 1, only: []int{0}, why: "device attributes: which terminal"},
	{prefix: ">", finals: "c", most: 1, only: []int{0}, why: "secondary attributes: which version"},
	{prefix: ">", finals: "q", most: 1, only: []int{0}, why: "name and version; the terminal's own text"},
	{finals: "n", most: 1, only: []int{5, 6}, why: "is it well, where is the cursor"},
	{prefix: "?", finals: "n", most: 1, only: []int{6, 996}, why: "cursor; dark or light"},
	{prefix: "?", intermediate: "$", finals: "p", most: 1, why: "is a private mode on"},
	{intermediate: "$", finals: "p", most: 1, why: "is a mode on"},
	{prefix: "?", finals: "u", most: 0, why: "kitty keyboard: which flags"},
}

// privateModes are DEC's and xterm's that a full-screen program sets.
var privateModes = []int{
	1, 66, // cursor keys and keypad
	5, 6, 7, 12, 25, 45, 69, // reverse, origin, wrap, blinking, cursor, reverse wrap, margins
	9, 1000, 1002, 1003, 1005, 1006, 1007, 1015, 1016, // mouse
	1004,                 // focus
	47, 1047, 1048, 1049, // the other screen
	1034,       // meta key, which ncurses sets
	2004,       // bracketed paste
	2026,       // synchronized output
	2027, 2031, // grapheme clusters; told of dark and light
}

// commandTable are the contents of an OSC that pass.
var commandTable = []struct {
	content func() *regexp.Regexp // compiled when the first comes
	why     string
}{
	{form(`^1[01];\?$`), "which colours: the answer is hexadecimal digits in a fixed frame"},
	{form(`^9;4;[0-4](;[0-9]{1,3})?$`), "progress in the taskbar, a number"},
}

func form(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// maxTitle bounds a title, in bytes.
const maxTitle = 256

// title tells whether content sets a title of the window or its icon that may
// pass: short and printable. It cannot be read back, see CSI t.
func title(content []byte) bool {
	if len(content) < 2 || len(content) > maxTitle || content[0] < '0' || content[0] > '2' || content[1] != ';' || !utf8.Valid(content) {
		return false
	}
	return !bytes.ContainsFunc(content, func(r rune) bool { return !unicode.IsPrint(r) })
}

// short passes ESC, intermediate, final if its table has it.
func (f *Filter) short(intermediate string, final byte) {
	for _, row := range shortTable {
		if row.intermediate == intermediate && strings.IndexByte(row.finals, final) >= 0 {
			f.out = append(f.out, esc)
			f.out = append(f.out, intermediate...)
			f.out = append(f.out, final)
			f.modes.short(intermediate, final)
			return
		}
	}
}

// osc passes the command in seq if it is in the table, or a title.
func (f *Filter) osc() {
	if f.toolong {
		return
	}
	passes := f.utf8 && title(f.seq) || !f.utf8 && title(f.seq) && isASCII(f.seq)
	for _, row := range commandTable {
		passes = passes || row.content().Match(f.seq)
	}
	if !passes {
		return
	}
	f.out = append(f.out, esc, ']')
	f.out = append(f.out, f.seq...)
	f.out = append(f.out, bel)
	f.modes.command(f.seq)
}

func isASCII(text []byte) bool {
	return !bytes.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
}

// csi passes the sequence in seq if its table has it, with those of its
// parameters that may pass.
func (f *Filter) csi(final byte) {
	prefix, parameters, intermediate, ok := split(string(f.seq))
	if !ok {
		return
	}
	for _, row := range controlTable {
		if row.prefix != prefix || row.intermediate != intermediate || strings.IndexByte(row.finals, final) < 0 {
			continue
		}
		passed, ok := row.filter(parameters, final)
		if !ok {
			return
		}
		f.out = append(f.out, esc, '[')
		f.out = append(f.out, prefix...)
		f.out = append(f.out, strings.Join(passed, ";")...)
		f.out = append(f.out, intermediate...)
		f.out = append(f.out, final)
		f.modes.control(prefix, passed, intermediate, final)
		return
	}
}

// split takes a control sequence apart: one of <=>?, parameters of digits and
// colons between semicolons, and bytes before the final one.
func split(seq string) (prefix string, parameters []string, intermediate string, ok bool) {
	if seq != "" && seq[0] >= '<' && seq[0] <= '?' {
		prefix, seq = seq[:1], seq[1:]
	}
	end := len(seq)
	for end > 0 && seq[end-1] <= '/' {
		end--
	}
	seq, intermediate = seq[:end], seq[end:]
	if strings.Trim(seq, "0123456789:;") != "" || strings.ContainsAny(seq, " !\"#$%&'()*+,-./<=>?") {
		return "", nil, "", false
	}
	if seq != "" {
		parameters = strings.Split(seq, ";")
	}
	return prefix, parameters, intermediate, true
}

// filter returns the parameters that pass; false when the sequence does not.
func (r controlRow) filter(parameters []string, final byte) ([]string, bool) {
	if len(parameters) > r.most {
		return nil, false
	}
	for _, parameter := range parameters {
		if !r.affordable(parameter, final) {
			return nil, false
		}
	}
	if len(r.only) > 0 {
		first := ""
		if len(parameters) > 0 {
			first = parameters[0]
		}
		if !slices.Contains(r.only, number(first)) {
			return nil, false
		}
	}
	if len(r.each) == 0 {
		return parameters, true
	}
	passed := slices.DeleteFunc(slices.Clone(parameters), func(p string) bool { return !slices.Contains(r.each, number(p)) })
	return passed, len(passed) > 0
}

// affordable bounds numbers; those of a colour may have parts.
func (r controlRow) affordable(parameter string, final byte) bool {
	parts := strings.Split(parameter, ":")
	if len(parts) > 1 && (final != 'm' && final != 'u' || len(parts) > 8) {
		return false
	}
	return !slices.ContainsFunc(parts, func(part string) bool { return number(part) > maxParameter })
}

// number is a parameter's value; 0 for an empty one, and more than any that
// passes when it has too many digits.
func number(parameter string) int {
	if parameter == "" {
		return 0
	}
	n, err := strconv.Atoi(parameter)
	if err != nil || len(parameter) > 5 {
		return maxParameter + 1
	}
	return n
}

// utf8Locale reads the character set of a locale's name, as de_DE.UTF-8@euro.
func utf8Locale(locale string) bool {
	_, charset, _ := strings.Cut(locale, ".")
	charset, _, _ = strings.Cut(charset, "@")
	charset = strings.ToLower(strings.ReplaceAll(charset, "-", ""))
	// C and POSIX say ASCII, which minimal systems have under UTF-8 terminals.
	return charset == "" || charset == "utf8"
}
