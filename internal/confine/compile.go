//go:build linux

package confine

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data, seccomp(2).
const (
	offsetNumber       = 0
	offsetArchitecture = 4
	offsetArguments    = 16
)

// maxSkip is how far a conditional jump reaches, in instructions.
const maxSkip = 255

// compile makes the program of an architecture. The kernel remembers which
// calls it always allows and runs no program for those (since Linux 5.11);
// for older ones the search is binary.
func (p Policy) compile(arch architecture) ([]bpf.RawInstruction, error) {
	verdicts, err := p.verdicts(arch)
	if err != nil {
		return nil, err
	}
	program := program{
		bpf.LoadAbsolute{Off: offsetArchitecture, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: arch.audit, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: offsetNumber, Size: 4},
	}
	if err := program.search(segmentsOf(verdicts)); err != nil {
		return nil, fmt.Errorf("policy %s: %w", p.Name, err)
	}
	return bpf.Assemble(program)
}

// segment is neighbouring numbers with one verdict, up to the next segment.
type segment struct {
	from    uint32
	verdict verdict
}

// segmentsOf cover all numbers, also those that are in no table.
func segmentsOf(verdicts []verdict) []segment {
	segments := []segment{{0, verdicts[0]}}
	for number, v := range append(verdicts, verdict{}) {
		if !v.equal(segments[len(segments)-1].verdict) {
			segments = append(segments, segment{uint32(number), v})
		}
	}
	return segments
}

// program is instructions in the making.
type program []bpf.Instruction

// search finds the segment of the number in the accumulator.
func (p *program) search(segments []segment) error {
	if len(segments) == 1 {
		return p.answer(segments[0].verdict)
	}
	middle := len(segments) / 2
	// A conditional jump may not reach that far.
	jump := len(*p) + 1
	*p = append(*p, bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: segments[middle].from, SkipFalse: 1}, bpf.Jump{})
	if err := p.search(segments[:middle]); err != nil {
		return err
	}
	(*p)[jump] = bpf.Jump{Skip: uint32(len(*p) - jump - 1)}
	return p.search(segments[middle:])
}

// answer tries a verdict's rows in order.
func (p *program) answer(v verdict) error {
	for _, row := range v.rows {
		left := 1 // instructions to the end of the row
		for _, c := range row.When {
			left += c.length()
		}
		if left > maxSkip {
			return fmt.Errorf("row %s: too many conditions", row.Name)
		}
		for _, c := range row.When {
			left -= c.length()
			p.check(c, left)
		}
		*p = append(*p, bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(row.Errno)})
	}
	last := uint32(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
	if v.allow {
		last = unix.SECCOMP_RET_ALLOW
	}
	*p = append(*p, bpf.RetConstant{Val: last})
	return nil
}

// length is how many instructions check makes of c.
func (c Condition) length() int { return 2 + len(c.Values) }

// check goes on behind itself where c holds, and skips left more where it
// does not. It loads the low word of the argument: both architectures are
// little-endian.
func (p *program) check(c Condition, left int) {
	*p = append(*p,
		bpf.LoadAbsolute{Off: offsetArguments + 8*uint32(c.Argument), Size: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: c.Mask},
	)
	for i, value := range c.Values {
		jump := bpf.JumpIf{Cond: bpf.JumpEqual, Val: value}
		more := len(c.Values) - 1 - i
		switch {
		case c.Except:
			jump.SkipTrue = uint8(more + left)
		case more > 0:
			jump.SkipTrue = uint8(more)
		default:
			jump.SkipFalse = uint8(left)
		}
		*p = append(*p, jump)
	}
}
