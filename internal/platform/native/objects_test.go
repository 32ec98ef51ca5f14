//go:build linux

package native

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/hint"
)

// TestObjectThatIsLost: a machine that goes down may leave a file's name without
// what was in it. Its bottle is gone, and keeps no other from being launched.
func TestObjectThatIsLost(t *testing.T) {
	o := objects{t.TempDir()}
	if err := o.create(object{Run: "a", Name: "whole"}); err != nil {
		t.Fatal(err)
	}
	for name, left := range map[string]string{"empty": "", "zeroes": strings.Repeat("\x00", 300), "half": `{"run":"b","na`} {
		path := o.path(name)
		if err := os.WriteFile(path, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := o.all()
		if err != nil || len(all) != 1 || all[0].Name != "whole" {
			t.Errorf("%s: %v, %v", name, all, err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: its name is taken: %v", name, err)
		}
	}
	for name, make := range map[string]func(path string) error{
		"a link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.MkdirAll(filepath.Join(path, "more"), 0o700) },
	} {
		check(t, make(o.path(name)))
		if all, err := o.all(); err != nil || len(all) != 1 {
			t.Errorf("%s: %v, %v", name, all, err)
		}
		if _, err := os.Lstat(o.path(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: its name is taken: %v", name, err)
		}
	}
	// What another version wrote is nobody's to remove.
	other := filepath.Join(o.dir, "other"+objectSuffix)
	if err := os.WriteFile(other, []byte(`{"run":["b"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := o.all()
	if err == nil || len(all) != 1 || !strings.Contains(err.Error(), other) || hint.Of(err) == "" {
		t.Errorf("another version's: %v, %v", all, err)
	}
}
