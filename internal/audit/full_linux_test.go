package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk that is full refuses a line whole, and takes the next one when there
// is room again.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skip("mounting a small disk needs root")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "record")
	w, err := OpenWriter(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	written := 0
	for err == nil && written < 1000 {
		if err = w.Append(denial("a.example")); err == nil {
			written++
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("after %d lines: %v", written, err)
	}
	b, rerr := os.ReadFile(path)
	if rerr != nil || strings.Count(string(b), "\n") != written || !strings.HasSuffix(string(b), "\n") {
		t.Errorf("%d lines written; the file ends in %q, %v", written, b[max(0, len(b)-40):], rerr)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(denial("b.example")); err != nil {
		t.Errorf("with room again: %v", err)
	}
	events, bad := read(t, path)
	if len(events) != written+1 || bad != 0 {
		t.Errorf("%d events, %d bad", len(events), bad)
	}
}

func TestDeviceFull(t *testing.T) {
	w, err := OpenWriter("/dev/full", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Append(denial("a.example")); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
}
