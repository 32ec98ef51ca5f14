//go:build !linux

package doctor

// Synchronised is not known here.
func Synchronised() *bool { return nil }
