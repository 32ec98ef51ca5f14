package scan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Row is the form of one provider's credentials.
//
// Form says what follows Keyword, as parts between spaces: a class of
// characters with how many of them ("w36", "d10-13", "t20-200"), or text in
// single quotes. A part takes as many as it may, and never gives one back.
// The classes are
//
//	a  letters          w  letters, digits       l  lower case, digits
//	d  digits           t  w and _ -             s  white space, quotes, = : > , and backslash
//	u  upper case, digits                        b  base64 of either alphabet
//	x  hexadecimal      m  t and . ~ + / =
//
// What comes right behind must not be of the last part's class, unless Open.
type Row struct {
	ID       string
	Provider string
	Source   string // where the provider says so
	Keyword  string // at least three bytes
	Fold     bool   // Keyword in any case
	Form     string
	Open     bool
	// Inside says that Keyword may stand in the middle of a word: it is not
	// where the credential begins.
	Inside bool
	// Entropy is the least, in bits a character, that the credential without
	// its keyword must have; 0 for any.
	Entropy float64
	// Check is a last look at the whole credential, where its form has a
	// checksum or an inner structure; nil for none.
	Check func(credential []byte) bool
}

// maxCredential is the longest credential, keyword included, that any row may
// describe: a stream keeps so much.
const maxCredential = 512

// row is a Row ready to run.
type row struct {
	Row
	parts []part
	// ahead is 1 where the automaton reads a byte more than the keyword,
	// since it needs four to begin.
	ahead int
}

// part is so many characters of one class.
type part struct {
	class    *class
	min, max int
}

// class is a set of bytes.
type class [256]bool

var (
	errForm    = errors.New("the form is not parts of a class and a number, or quoted text")
	errKeyword = errors.New("the keyword is shorter than three bytes, or nothing follows it")
	errWindow  = errors.New("the credential can be longer than 512 bytes")
)

func (r Row) compile() (row, error) {
	compiled := row{Row: r, ahead: max(0, shortest-len(r.Keyword))}
	longest := len(r.Keyword)
	for field := range strings.FieldsSeq(r.Form) {
		parts, err := parsePart(field)
		if err != nil {
			return row{}, fmt.Errorf("%q: %w", field, err)
		}
		for _, p := range parts {
			longest += p.max
		}
		compiled.parts = append(compiled.parts, parts...)
	}
	if compiled.ahead > 1 || compiled.ahead == 1 && len(compiled.parts) == 0 {
		return row{}, errKeyword
	}
	if longest > maxCredential {
		return row{}, errWindow
	}
	return compiled, nil
}

func parsePart(field string) ([]part, error) {
	if text, ok := strings.CutPrefix(field, "'"); ok {
		text, ok = strings.CutSuffix(text, "'")
		if !ok || text == "" {
			return nil, errForm
		}
		var parts []part
		for i := range len(text) {
			c := new(class)
			c[text[i]] = true
			parts = append(parts, part{c, 1, 1})
		}
		return parts, nil
	}
	c, ok := classOf(field[0])
	low, high, ranged := strings.Cut(field[1:], "-")
	if !ranged {
		high = low
	}
	from, errFrom := strconv.Atoi(low)
	to, errTo := strconv.Atoi(high)
	if !ok || errFrom != nil || errTo != nil || from < 0 || to < 1 || to < from {
		return nil, errForm
	}
	return []part{{c, from, to}}, nil
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digit  = "0123456789"
	word   = lower + upper + digit
	spaces = " \t\r\n\"'=:>,\\"
)

func classOf(letter byte) (*class, bool) {
	members, ok := map[byte]string{
		'a': lower + upper, 'd': digit, 'l': lower + digit, 'u': upper + digit,
		'x': digit + "abcdefABCDEF", 'w': word, 't': word + "_-",
		'b': word + "+/-_", 'm': word + "_-.~+/=", 's': spaces,
	}[letter]
	c := new(class)
	for i := range len(members) {
		c[members[i]] = true
	}
	return c, ok
}

func (c *class) unit() unit {
	var u unit
	for b, member := range c {
		if member {
			u = append(u, byte(b))
		}
	}
	return u
}

// candidate is a credential under way: its keyword was seen.
type candidate struct {
	row   int32
	part  int32
	count int32
	start int64 // of the keyword, in the stream
}

// progress is how a candidate stands after more bytes.
type progress int

const (
	more progress = iota
	failed
	complete // the byte just given is not part of it
)

// feed gives the candidate one byte.
func (r *row) feed(c *candidate, b byte) progress {
	for int(c.part) < len(r.parts) {
		p := &r.parts[c.part]
		if int(c.count) < p.max && p.class[b] {
			c.count++
			return more
		}
		if int(c.count) < p.min {
			return failed
		}
		c.part, c.count = c.part+1, 0
	}
	if last := len(r.parts) - 1; last >= 0 && !r.Open && r.parts[last].class[b] {
		return failed
	}
	return complete
}

// end says whether the candidate is whole when nothing follows.
func (r *row) end(c *candidate) bool {
	for i := int(c.part); i < len(r.parts); i++ {
		if i > int(c.part) {
			c.count = 0
		}
		if int(c.count) < r.parts[i].min {
			return false
		}
	}
	return true
}
