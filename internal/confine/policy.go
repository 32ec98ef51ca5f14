//go:build linux

package confine

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Policy says which calls a process and its descendants may make. Where a row
// refuses a call, its family does not count.
type Policy struct {
	Name    string
	Refused []Row // the first that applies answers
	Allowed []Family
}

// Family is calls that are allowed, except where a row refuses them.
type Family struct {
	Name  string
	Calls string // their names, separated by white space
}

// Row is calls that are refused.
type Row struct {
	Name  string // of its attempt in the tests, and in docs/seccomp.md
	Calls string // their names, separated by white space
	When  []Condition
	Errno unix.Errno
	What  string // the call, as a person would name it
	Why   string // what could be done with it
}

// Condition is one on an argument. A row applies when all of its conditions
// hold; one without conditions always does.
type Condition struct {
	Argument int      // counted from 0
	Mask     uint32   // of the low word; what is outside is not looked at
	Values   []uint32 // of the masked word
	Except   bool     // none of the values instead of any
}

func is(argument int, values ...uint32) Condition {
	return Condition{Argument: argument, Mask: ^uint32(0), Values: values}
}

func isNot(argument int, values ...uint32) Condition {
	return Condition{Argument: argument, Mask: ^uint32(0), Values: values, Except: true}
}

// has holds when any of the bits is set.
func has(argument int, bits uint32) Condition {
	return Condition{Argument: argument, Mask: bits, Values: []uint32{0}, Except: true}
}

// of is c for a part of the argument.
func (c Condition) of(mask uint32) Condition {
	c.Mask = mask
	return c
}

// verdict is what happens to one call: the rows in order, then allow.
type verdict struct {
	rows  []*Row
	allow bool // when no row applies; else ENOSYS
}

func (v verdict) equal(other verdict) bool {
	return v.allow == other.allow && slices.EqualFunc(v.rows, other.rows, func(a, b *Row) bool {
		return a.Errno == b.Errno && slices.EqualFunc(a.When, b.When, func(a, b Condition) bool {
			return a.Argument == b.Argument && a.Mask == b.Mask && a.Except == b.Except && slices.Equal(a.Values, b.Values)
		})
	})
}

// verdicts are those of an architecture's calls; the index is the call's
// number. A name that only other architectures have is skipped; one that none
// has is an error.
func (p Policy) verdicts(arch architecture) ([]verdict, error) {
	numbers := make(map[string]uint16, len(arch.calls))
	for _, c := range arch.calls {
		numbers[c.name] = c.number
	}
	all := make([]verdict, arch.calls[len(arch.calls)-1].number+1)
	each := func(calls string, apply func(v *verdict)) error {
		for name := range strings.FieldsSeq(calls) {
			if number, ok := numbers[name]; ok {
				apply(&all[number])
			} else if !slices.Contains(arch.lacks, name) {
				return fmt.Errorf("policy %s: %s: no such call", p.Name, name)
			}
		}
		return nil
	}
	for i := range p.Refused {
		row := &p.Refused[i]
		if err := each(row.Calls, func(v *verdict) { v.rows = append(v.rows, row) }); err != nil {
			return nil, err
		}
	}
	for _, family := range p.Allowed {
		if err := each(family.Calls, func(v *verdict) { v.allow = true }); err != nil {
			return nil, err
		}
	}
	return all, nil
}
