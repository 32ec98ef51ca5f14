package tree

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Kernels without openat2 are served by walkDown, which must refuse the same.
func TestWalkDownRefusesLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "real", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"link": "real", "real/out": "/", "real/up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	for path, good := range map[string]bool{
		"real": true, "real/sub": true, "link": false, "link/sub": false, "real/out": false, "real/up": false,
		"real/up/real": false, "missing/x": false,
	} {
		got, err := walkDown(fd, path)
		if (err == nil) != good {
			t.Errorf("walkDown(%q): %v", path, err)
		}
		if err == nil {
			_ = unix.Close(got)
		}
	}
}
