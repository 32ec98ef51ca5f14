// Package hint attaches to an error what a person can do about it. Any
// package may attach one; only the command line prints it.
package hint

import "errors"

type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// With returns err with a hint: one line, imperative, that works when pasted
// where it names a command. A nil err stays nil.
func With(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hinted{err, hint}
}

// Of returns the outermost hint of err, or "".
func Of(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}
