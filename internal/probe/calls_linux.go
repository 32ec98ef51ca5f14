package probe

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/confine"
	"claude-bottle/internal/wire"
)

// calls makes every call that the filter refuses, with arguments that the
// kernel refuses too, should it get to see them, so that no call does anything
// (TestCallsDoNoHarm). The row's own errno is the filter's; any other is the
// kernel's, or that of another filter, and then ours is not there.
func calls(nested, bounded bool) []wire.Finding {
	runtime.LockOSThread() // for good: some calls would change the thread
	var findings []wire.Finding
	policy := confine.Bottle()
	if nested {
		policy = confine.Nested()
	}
	if bounded {
		policy = policy.Bounded()
	}
	for _, row := range policy.Refused {
		c := check{kind: Call, target: strings.ReplaceAll(row.What, "`", "")}
		findings = append(findings, refusal(row).in(c))
	}
	return findings
}

func refusal(row confine.Row) outcome {
	tries := 0
	for name := range strings.FieldsSeq(row.Calls) {
		number, ok := confine.Number(name)
		if !ok {
			continue // another architecture's
		}
		for _, args := range arguments(name, row.When) {
			tries++
			_, _, errno := unix.RawSyscall6(number, args[0], args[1], args[2], args[3], args[4], args[5])
			if errno != row.Errno {
				return open(fmt.Sprintf("%s was answered by the kernel: %s", name, answered(errno)))
			}
		}
	}
	return closed(fmt.Sprintf("%d refused", tries))
}

func answered(errno unix.Errno) string {
	if errno == 0 {
		return "done"
	}
	return errno.Error()
}

// nonsense is no address, descriptor, flag or size of anything.
const nonsense = ^uintptr(0)

// typeMask is the part of a socket's type that is not a flag.
const typeMask = 0xf

// base is what a call's arguments are where no condition says more. With a
// flag that does not exist, socket makes none of any type.
func base(call string) [6]uintptr {
	args := [6]uintptr{nonsense, nonsense, nonsense, nonsense, nonsense, nonsense}
	switch call {
	case "socket":
		args[1] = nonsense&^typeMask | unix.SOCK_STREAM
	case "modify_ldt":
		args[0] = 0 // reads; any other number is ENOSYS to the kernel too
	}
	return args
}

// arguments are what a row applies to. Each value of its first argument is
// one try; of the others the first that matches is taken.
func arguments(call string, when []confine.Condition) [][6]uintptr {
	all := [][6]uintptr{base(call)}
	for argument := range 6 {
		conditions := slices.DeleteFunc(slices.Clone(when), func(c confine.Condition) bool { return c.Argument != argument })
		if len(conditions) == 0 {
			continue
		}
		values := matching(conditions)
		if argument != when[0].Argument {
			values = values[:min(1, len(values))]
		}
		var next [][6]uintptr
		for _, args := range all {
			for _, value := range values {
				args[argument] = value
				next = append(next, args)
			}
		}
		all = next
	}
	return all
}

// families is more than the kernel has address families.
const families = 64

// matching are values that all conditions on one argument hold for: those of a
// list; of those that are in none, the small ones, which the kernel knows; and
// for any of some bits, all. What a mask leaves out is nonsense.
func matching(conditions []confine.Condition) []uintptr {
	first := conditions[0]
	candidates := slices.Clone(first.Values)
	if first.Except {
		candidates = []uint32{first.Mask}
		for value := range uint32(families) {
			candidates = append(candidates, value)
		}
	}
	var values []uintptr
	for _, candidate := range candidates {
		value := uintptr(candidate & first.Mask)
		if first.Mask != ^uint32(0) {
			value |= nonsense &^ uintptr(first.Mask)
		}
		if !slices.ContainsFunc(conditions, func(c confine.Condition) bool { return !holds(c, value) }) {
			values = append(values, value)
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// holds says whether a condition does, as the kernel would.
func holds(c confine.Condition, value uintptr) bool {
	return slices.Contains(c.Values, uint32(value)&c.Mask) != c.Except //nolint:gosec // G115: the low word is meant
}
