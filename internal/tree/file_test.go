package tree

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What has a file's name and is none is neither followed nor waited for.
func TestReadFileIsOfFilesAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(path string) error{
		"a link":      func(path string) error { return os.Symlink(file, path) },
		"a pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a socket": func(path string) error {
			listener, err := net.Listen("unix", path) //nolint:noctx // it ends with the test
			if err == nil {
				t.Cleanup(func() { _ = listener.Close() })
			}
			return err
		},
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path, 9); !errors.Is(err, ErrIrregular) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := ReadFile(file, 4); err != nil || string(data) != "1234" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := ReadFile(file, 3); err == nil {
		t.Error("a file that is too long is read")
	}
	if _, err := ReadFile(filepath.Join(dir, "none"), 3); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}
