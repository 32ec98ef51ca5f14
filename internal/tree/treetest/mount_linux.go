package treetest

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// NeedRoot skips a test that only root can run.
func NeedRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("CI") != "":
		t.Fatal("this test needs root, which CI promises")
	default:
		t.Skip("SKIPPED: this test needs root (it mounts a file system)")
	}
}

// Disk mounts a new file system of size bytes for the time of the test and
// returns its directory. It needs root.
func Disk(t *testing.T, size string) string {
	t.Helper()
	NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	Mount(t, dir, "size="+size+",mode=755")
	return dir
}

// Mount mounts a tmpfs at dir until the test ends.
func Mount(t *testing.T, dir, options string) {
	t.Helper()
	if err := unix.Mount("test", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}
