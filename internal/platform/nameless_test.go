//go:build linux

package platform

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestInstallLeavesNoHalf: while a program is copied there is nothing with a name,
// which somebody who is killed would leave.
func TestInstallLeavesNoHalf(t *testing.T) {
	dir := t.TempDir()
	from, writes := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- copyInto(from, filepath.Join(dir, "bin", "program")) }()
	if _, err := writes.Write([]byte("half")); err != nil { // it was read: the file is open
		t.Fatal(err)
	}
	if names, err := os.ReadDir(filepath.Join(dir, "bin")); err != nil || len(names) > 0 {
		t.Errorf("half way there is %v, %v", names, err)
	}
	if err := writes.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "bin", "program")); err != nil || string(text) != "half" {
		t.Errorf("%q, %v", text, err)
	}
}
