package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"unicode/utf8"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"claude-bottle/internal/hint"
)

// TrustStore remembers which manifests of projects a person has trusted: the
// path and the hash, so that neither a changed file nor the same file elsewhere
// is trusted. It is one JSON file, 0600, replaced atomically; a lock beside it
// serialises writers of all processes.
type TrustStore struct{ path string }

// OpenTrust uses the store at path, which need not exist. It touches nothing.
func OpenTrust(path string) *TrustStore { return &TrustStore{path: path} }

// Bounds of a store. The oldest entries make room.
const (
	maxTrustFile   = 4 << 20
	hashesAProject = 32 // a branch each, say
	maxTrusted     = 4096
)

// trustFile is the store's file. Entries are in the order in which they were
// recorded.
type trustFile struct {
	Version int       `json:"version"`
	Trusted []trusted `json:"trusted"`
}

type trusted struct {
	Path string `json:"path"`
	Hash string `json:"hash"`
}

// Trusted says whether the project's manifest at path was recorded with this
// hash. A store that is damaged or that others may write trusts nothing; Check
// then says why.
func (s *TrustStore) Trusted(path, hash string) bool {
	file, err := s.read()
	return err == nil && slices.Contains(file.Trusted, trusted{path, hash})
}

// Check returns why the store cannot be used, with a hint, or nil. That there
// is none yet is nil.
func (s *TrustStore) Check() error {
	_, err := s.read()
	return err
}

// Record trusts the manifest at path (absolute) as long as its hash is this.
// It never writes over a store that it cannot read.
func (s *TrustStore) Record(path, hash string) error {
	added := trusted{path, hash}
	if err := added.check(); err != nil {
		return fmt.Errorf("record trust: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("record trust: %w", err)
	}
	lock := flock.New(s.path+".lock", flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("record trust: %w", err)
	}
	defer lock.Close()
	file, err := s.read()
	if err != nil {
		return err
	}
	file.Version = 1
	file.Trusted = bounded(append(without(file.Trusted, added), added))
	data, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return fmt.Errorf("record trust: %w", err)
	}
	if err := renameio.WriteFile(s.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("record trust: %w", err)
	}
	return nil
}

// read returns an empty store when there is no file, and an error with a hint
// when there is one that cannot be relied on.
func (s *TrustStore) read() (trustFile, error) {
	data, err := s.load()
	if errors.Is(err, fs.ErrNotExist) {
		return trustFile{}, nil
	}
	if err != nil {
		err = fmt.Errorf("read the record of trusted projects: %w", err)
		return trustFile{}, hint.With(err, "make it a file of your own that only you may write: chmod 600 "+s.path)
	}
	var file trustFile
	if err := file.decode(data); err != nil {
		err = fmt.Errorf("read the record of trusted projects: %s: %w", s.path, err)
		return trustFile{}, hint.With(err, "move it away, then trust again what you still trust: mv "+s.path+" "+s.path+".damaged")
	}
	return file, nil
}

// load refuses a file that somebody else could have written: a line in it is
// as good as the person's yes.
func (s *TrustStore) load() ([]byte, error) {
	f, err := os.OpenFile(s.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", s.path)
	case !known || int(owner.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s: belongs to somebody else", s.path)
	case info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("%s: others may write it", s.path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxTrustFile+1))
	if err == nil && len(data) > maxTrustFile {
		err = fmt.Errorf("%s: larger than %d MiB", s.path, maxTrustFile>>20)
	}
	return data, err
}

// decode is strict: half a record is no record.
func (t *trustFile) decode(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(t); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the record")
	}
	if t.Version != 1 {
		return fmt.Errorf("version %d is not known", t.Version)
	}
	for _, entry := range t.Trusted {
		if err := entry.check(); err != nil {
			return err
		}
	}
	return nil
}

func (t trusted) check() error {
	if !filepath.IsAbs(t.Path) || !utf8.ValidString(t.Path) {
		return fmt.Errorf("%s is not an absolute path in UTF-8", quote(t.Path))
	}
	if ok, err := regexp.MatchString(`^[0-9a-f]{64}$`, t.Hash); !ok || err != nil {
		return fmt.Errorf("%s is not a SHA-256 in hex", quote(t.Hash))
	}
	return nil
}

func without(list []trusted, entry trusted) []trusted {
	return slices.DeleteFunc(list, func(t trusted) bool { return t == entry })
}

// bounded drops the oldest hashes of the project that was added last, then the
// oldest of all.
func bounded(list []trusted) []trusted {
	path, count := list[len(list)-1].Path, 0
	for _, entry := range list {
		if entry.Path == path {
			count++
		}
	}
	list = slices.DeleteFunc(list, func(t trusted) bool {
		if t.Path != path || count <= hashesAProject {
			return false
		}
		count--
		return true
	})
	return list[max(0, len(list)-maxTrusted):]
}
