//go:build linux

package confine

// Number is that of a call on this machine's architecture; false for a call
// that only others have. Package probe makes the calls that a policy refuses.
func Number(name string) (number uintptr, ok bool) {
	for _, c := range native().calls {
		if c.name == name {
			return uintptr(c.number), true
		}
	}
	return 0, false
}
