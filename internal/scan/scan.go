// Package scan finds secrets in bytes that leave: the run's own values, in
// every encoding that tools usually put them in, and credentials of known
// providers by the forms that those publish.
//
// What to look for is compiled once for a run ([New]); a [Stream] reads one
// body, or one series of pieces that a receiver would join, in a single pass
// and in constant memory, wherever the chunks are cut. What a finding means is
// the caller's decision: a [Finding] says what was seen and where, and never
// holds the bytes themselves. A [Gate], or [Coded] for a body in a content
// coding, acts on such decisions in what streams through it. [RandomName] and
// [RandomQuery] say what looks like data without being known. Nothing here does
// input or output of its own.
//
// # Time
//
// Who sends text and measures how long it is scanned must not learn from it
// whether a part of a value was in it: a guess that costs more than another
// when it is right tells the value character by character. So nothing that
// depends on a value happens before a whole window of one of its forms is
// there, sixteen characters of it or all that it has:
//
//   - Forms of credentials are public. They have an automaton, whose filter and
//     states may show in the time.
//   - Values have none. Text is squeezed to the characters that encodings
//     consist of, and its escapes are undone, by tables that know no value. Of
//     each window of what comes of it a hash is made, keyed at random, and one
//     bit of a table is read at it. By chance some windows share that bit with
//     one of a value, and are looked up by their whole hash: which ones, the key
//     alone decides. A window that is right but for one character is like any
//     other (TestWorkTellsNothing counts them).
//   - A key is used for a mebibyte, then there is another: too little to find
//     out by the time which windows it has put where, and so what the table
//     holds.
//   - What is compared with a value, where such a window was, takes the same
//     time wherever they differ.
//   - What is held back is as much whatever was written ([Stream.Safe]).
//
// What remains: sixteen characters that are right cost a look more, whether the
// rest is right or not, and are then a finding nearly always. The time also
// shows whether some value has many characters that are neither letters nor
// digits or few characters at all, as placeholders do too.
package scan

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// Kind says what a value, or a finding, is.
type Kind string

// Kinds. The first three are given by the caller as a [Value].
const (
	Secret      Kind = "secret"      // the run's own, in any encoding
	Canary      Kind = "canary"      // a decoy, in any encoding
	Placeholder Kind = "placeholder" // stands for a secret; as text only
	Credential  Kind = "credential"  // somebody's, by the form of its provider
)

// MinValue is the length, in bytes, of the shortest value that can be looked
// for. A shorter one, in all its encodings, is found in ordinary traffic, and
// a person who is warned of everything reads no warning.
const MinValue = 8

// spread is over how many times its own length a form may be spread, by
// escapes and by what stands between its characters.
const spread = 8

// maxValue bounds what one value costs to build.
const maxValue = 1 << 20

// ErrShort says that a value is shorter than [MinValue].
var ErrShort = fmt.Errorf("a secret of less than %d bytes cannot be told from ordinary text", MinValue)

var errLong = errors.New("a secret of more than 1 MiB cannot be looked for")

// Value is one value to look for. New reads Bytes and does not keep them.
type Value struct {
	Name  string // for findings
	Kind  Kind
	Bytes []byte
}

// Options are what a scanner looks for.
type Options struct {
	Values []Value
	// Rows are forms of credentials; [Table] has the known ones.
	Rows []Row
	// Allowed are SHA-256 hashes of credentials that are none: test data,
	// examples of a documentation. They do not hide a Value.
	Allowed [][sha256.Size]byte
}

// Finding is one place where something was seen.
type Finding struct {
	Kind     Kind
	Name     string   // the value's, or the row's ID
	Encoding Encoding // of a value
	// Offset is counted from the stream's first byte.
	Offset int64
	Length int
	// At is where in a value that begins which was found as text; else -1.
	At int
}

// Scanner is what a run looks for, built once. It can be used by any number of
// streams at once.
type Scanner struct {
	machine  *machine // of the rows
	filter   *filter
	keyed    *keyed  // of the values; nil without any
	values   []Value // without Bytes
	rows     []row
	allowed  map[[sha256.Size]byte]bool
	lookback int // bytes that a stream keeps
	span     int // bytes that a value may be spread over; 0 without values
	window   int // bytes that are held back for them, always
}

// New builds a scanner. A value that is too short to be told from ordinary
// text is an error that wraps [ErrShort]: whoever brokers it must refuse, since
// nothing would notice it leave.
func New(o Options) (*Scanner, error) {
	g := newGraph()
	s := &Scanner{allowed: make(map[[sha256.Size]byte]bool, len(o.Allowed))}
	for _, hash := range o.Allowed {
		s.allowed[hash] = true
	}
	var all []form
	for i, v := range o.Values {
		switch {
		case len(v.Bytes) < MinValue:
			return nil, fmt.Errorf("look for %s: %w", v.Name, ErrShort)
		case len(v.Bytes) > maxValue:
			return nil, fmt.Errorf("look for %s: %w", v.Name, errLong)
		}
		all = append(all, formsOf(i, v)...)
		s.values = append(s.values, Value{Name: v.Name, Kind: v.Kind})
	}
	for i, r := range o.Rows {
		compiled, err := r.compile()
		if err != nil {
			return nil, fmt.Errorf("row %s: %w", r.ID, err)
		}
		g.keyword(i, &compiled)
		s.rows = append(s.rows, compiled)
	}
	var err error
	if s.machine, err = g.machine(); err != nil {
		return nil, err
	}
	s.filter = g.filter()
	if s.keyed = newKeyed(all, large); s.keyed != nil {
		s.span = spread * s.keyed.deepest
		// What may begin an escape is waited for, on every level.
		s.window = s.span + maxEscape*maxEscape
	}
	s.lookback = max(s.window, maxCredential) + beforeToken
	return s, nil
}

// Values is how many values are looked for, beside the rows.
func (s *Scanner) Values() int { return len(s.values) }

// Size is roughly what the scanner holds in memory, in bytes.
func (s *Scanner) Size() int { return s.machine.size() + len(s.filter.bits)*8 + s.keyed.size() }

func (f Finding) String() string {
	if f.Encoding == "" {
		return fmt.Sprintf("%s %s at byte %d", f.Kind, f.Name, f.Offset)
	}
	return fmt.Sprintf("%s %s (%s) at byte %d", f.Kind, f.Name, f.Encoding, f.Offset)
}
