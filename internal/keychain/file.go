package keychain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// maxFile bounds the store.
const maxFile = 1 << 20

var (
	errOpen  = errors.New("others can read or change it: it must be a file of yours with mode 0600")
	errLarge = errors.New("it is larger than 1 MiB")
	errForm  = errors.New("it is no JSON object of strings")
)

// File keeps secrets in one file with mode 0600, in a directory with mode
// 0700. It is for a machine without a keychain: whoever reads as its owner
// reads all of it.
type File struct {
	path string
}

// OpenFile is the store at path, which need not be there yet.
func OpenFile(path string) *File { return &File{path} }

// Get returns the secret of a name, or an error that wraps [ErrNotFound].
func (f *File) Get(name string) (string, error) {
	all, err := f.read()
	if err != nil {
		return "", err
	}
	secret, ok := all[name]
	if !ok {
		return "", fmt.Errorf("read %s from %s: %w", name, f.path, ErrNotFound)
	}
	return secret, nil
}

// Set keeps a secret, in place of one that was there.
func (f *File) Set(name, secret string) error {
	if err := check(secret); err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return f.change(func(all map[string]string) error {
		all[name] = secret
		return nil
	})
}

// Delete forgets a secret. One that is not there is ErrNotFound.
func (f *File) Delete(name string) error {
	return f.change(func(all map[string]string) error {
		if _, ok := all[name]; !ok {
			return fmt.Errorf("delete %s from %s: %w", name, f.path, ErrNotFound)
		}
		delete(all, name)
		return nil
	})
}

// change rewrites the file as a whole, one process at a time.
func (f *File) change(edit func(map[string]string) error) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("make the secrets' directory: %w", err)
	}
	lock := flock.New(f.path+".lock", flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock %s: %w", f.path, err)
	}
	defer lock.Close()
	all, err := f.read()
	if err != nil {
		return err
	}
	if err := edit(all); err != nil {
		return err
	}
	text, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	defer clear(text)
	if len(text) > maxFile {
		return fmt.Errorf("write %s: %w", f.path, errLarge)
	}
	if err := renameio.WriteFile(f.path, text, 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return nil
}

// read refuses a file that is not its owner's alone. One that is not there is
// empty.
func (f *File) read() (map[string]string, error) {
	file, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the secrets' file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.path, err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || !ok || int(owner.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("read %s: %w", f.path, errOpen)
	}
	// In one piece: a buffer that grows would leave the secrets behind.
	text := make([]byte, min(info.Size(), maxFile)+1)
	defer clear(text)
	n, err := io.ReadFull(file, text)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		text, err = text[:n], nil
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", f.path, err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("read %s: %w", f.path, errLarge)
	}
	all := map[string]string{}
	if json.Unmarshal(text, &all) != nil { // whose error would quote the text
		return nil, fmt.Errorf("read %s: %w", f.path, errForm)
	}
	return all, nil
}
