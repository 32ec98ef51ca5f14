// Package scan finds secrets in bytes that leave: the run's own values, in
// every encoding that tools usually put them in, and credentials of known
// providers by the forms that those publish.
//
// One automaton is built for a run ([New]); a [Stream] reads one body, or one
// series of pieces that a receiver would join, in a single pass and in
// constant memory, wherever the chunks are cut. What a finding means is the
// caller's decision: a [Finding] says what was seen and where, and never holds
// the bytes themselves. A [Gate], or [Coded] for a body in a content coding, acts on
// such decisions in what streams through it. [RandomName] and [RandomQuery] say
// what looks like data without being known. Nothing here does input or output
// of its own.
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
	// Plain says that it is looked for as text only, as a Placeholder is.
	Plain bool
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
}

// Scanner is what a run looks for, built once. It can be used by any number of
// streams at once.
type Scanner struct {
	machine  *machine
	filter   *filter
	values   []Value // without Bytes
	rows     []row
	allowed  map[[sha256.Size]byte]bool
	lookback int // bytes that a stream keeps
	window   int // bytes that are held back, always; 0 without values
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
	for i, v := range o.Values {
		switch {
		case len(v.Bytes) < MinValue:
			return nil, fmt.Errorf("look for %s: %w", v.Name, ErrShort)
		case len(v.Bytes) > maxValue:
			return nil, fmt.Errorf("look for %s: %w", v.Name, errLong)
		}
		addValue(g, i, v)
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
	if len(s.values) > 0 {
		s.window = s.machine.longest
	}
	s.lookback = max(s.machine.longest, maxCredential) + beforeToken
	return s, nil
}

// Values is how many values are looked for, beside the rows.
func (s *Scanner) Values() int { return len(s.values) }

// Size is roughly what the scanner holds in memory, in bytes.
func (s *Scanner) Size() int { return s.machine.size() + len(s.filter.bits)*8 }
