//go:build !failpoints

package bottletest

import "testing"

// crashRows are of a build with the tag "failpoints" alone: in others a
// failpoint is nothing.
func crashRows() []row { return nil }

func acts(*testing.T, *suite) bool { return false }
