//go:build !failpoints

package failpoint

// Hit does nothing in a build without the tag "failpoints".
func Hit(string) error { return nil }

// Span does nothing in a build without the tag "failpoints".
func Span(string) (end func()) { return nothing }

func nothing() {}
