package platform

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openNameless makes a file in dir that has no name (O_TMPFILE, open(2)): it is
// gone with whoever has it open.
func openNameless(dir string) (*os.File, error) {
	return os.OpenFile(dir, unix.O_TMPFILE|os.O_WRONLY, 0o600)
}

// fillNameless writes the file, closes it, and gives it the name path. It must not
// be open for writing once it has a name, or it could not be executed.
func fillNameless(file *os.File, from io.Reader, path string) error {
	_, err := io.Copy(file, from)
	if err == nil {
		err = file.Chmod(0o755)
	}
	var whole *os.File
	if err == nil {
		whole, err = os.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	defer func() { _ = whole.Close() }()
	if err := nameFile(whole, path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	// What is there is replaced in one step, which takes another name.
	draft := filepath.Join(filepath.Dir(path), ".copy-"+rand.Text())
	defer func() { _ = os.Remove(draft) }()
	if err := nameFile(whole, draft); err != nil {
		return err
	}
	return os.Rename(draft, path)
}

func nameFile(file *os.File, path string) error {
	name := fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	if err := unix.Linkat(unix.AT_FDCWD, name, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: name, New: path, Err: err}
	}
	return nil
}
