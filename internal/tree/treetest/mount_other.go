//go:build !linux

package treetest

import "testing"

// NeedRoot skips a test that mounts file systems as Linux does.
func NeedRoot(t *testing.T) {
	t.Helper()
	t.Skip("SKIPPED: this test needs Linux (it mounts a file system)")
}

// Disk skips the test.
func Disk(t *testing.T, _ string) string {
	t.Helper()
	NeedRoot(t)
	return ""
}
