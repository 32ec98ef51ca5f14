package keychain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// Place is where a secret is kept.
type Place string

// Places of a login.
const (
	InKeychain Place = "keychain"
	InFile     Place = "file"
)

// Login is what is known of a credential without reading it.
type Login struct {
	// Name is what the credential is kept as, the launcher's variable that it
	// stands for.
	Name  string `json:"name"`
	Place Place  `json:"place"`
}

// Logins keep the credential of a harness: in the system's keychain, else in
// a file, with a note of which it is that holds no secret. So whoever wants to
// know whether there is one asks nobody.
type Logins struct {
	Dir    string // of the note and the file
	System System
}

// FilePath is the file that secrets are in where there is no keychain.
func (l Logins) FilePath() string { return filepath.Join(l.Dir, "secrets.json") }

func (l Logins) notePath() string { return filepath.Join(l.Dir, "login.json") }

func (l Logins) renewingPath() string { return filepath.Join(l.Dir, "login.renewing") }

func (l Logins) file() *File { return OpenFile(l.FilePath()) }

// Kept is the credential that is kept, if any.
func (l Logins) Kept() (Login, bool, error) {
	text, err := os.ReadFile(l.notePath())
	if errors.Is(err, fs.ErrNotExist) {
		return Login{}, false, nil
	}
	var login Login
	if err == nil {
		err = json.Unmarshal(text, &login)
	}
	if err == nil && (login.Name == "" || login.Place != InKeychain && login.Place != InFile) {
		err = errForm
	}
	if err != nil {
		return Login{}, false, fmt.Errorf("read %s: %w", l.notePath(), err)
	}
	return login, true, nil
}

// Read returns the credential.
func (l Logins) Read(ctx context.Context, login Login) (string, error) {
	if login.Place == InFile {
		return l.file().Get(login.Name)
	}
	return l.System.Get(ctx, login.Name)
}

// turnPause is how often it is seen whether another process has ended its turn.
const turnPause = 50 * time.Millisecond

// Turn waits, until ctx ends, until no other process changes what is kept, and
// holds the others off until it is given back: two that renew one login at once
// would leave it worth nothing (TestRunsShareARenewal).
func (l Logins) Turn(ctx context.Context) (release func(), err error) {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the secrets' directory: %w", err)
	}
	lock := flock.New(l.notePath()+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, turnPause); err != nil {
		return nil, fmt.Errorf("wait for another that changes the login: %w", err)
	}
	return func() { _ = lock.Close() }, nil
}

// Begin notes, in a turn, that what is kept is about to become worth nothing, and
// End that what came of it is kept. Between the two a launcher that is killed
// loses the login, and CutOff tells the next.
func (l Logins) Begin() { _ = os.WriteFile(l.renewingPath(), nil, 0o600) }

// End takes back Begin.
func (l Logins) End() { _ = os.Remove(l.renewingPath()) }

// CutOff says, once, whether a turn that began never ended.
func (l Logins) CutOff() bool {
	if _, err := os.Lstat(l.renewingPath()); err != nil {
		return false
	}
	lock := flock.New(l.notePath()+".lock", flock.SetPermissions(0o600))
	if free, err := lock.TryLock(); err != nil || !free { // it is under way
		return false
	}
	defer lock.Close()
	return os.Remove(l.renewingPath()) == nil
}

// Keep keeps a credential in place of any other. Without a keychain, or where
// inFile says so, it is in the file. A keychain that is there and fails is an
// error: what was to be locked away is not to lie in a file unasked.
func (l Logins) Keep(ctx context.Context, name, secret string, inFile bool) (Login, error) {
	login := Login{name, InKeychain}
	err := ErrNone
	if !inFile {
		err = l.System.Set(ctx, name, secret)
	}
	if errors.Is(err, ErrNone) {
		login.Place = InFile
		err = l.file().Set(name, secret)
	}
	if err != nil {
		return Login{}, err
	}
	before, found, err := l.Kept()
	if err != nil {
		found = false // it is written anew
	}
	if err := l.note(login); err != nil {
		return Login{}, err
	}
	if found && before != login {
		if err := l.forget(ctx, before); err != nil {
			return login, err
		}
	}
	return login, nil
}

func (l Logins) note(login Login) error {
	text, err := json.Marshal(login)
	if err == nil {
		err = os.MkdirAll(l.Dir, 0o700)
	}
	if err == nil {
		err = renameio.WriteFile(l.notePath(), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("note the login: %w", err)
	}
	return nil
}

// Forget removes the credential that is kept, and says which it was.
func (l Logins) Forget(ctx context.Context) (login Login, found bool, err error) {
	login, found, err = l.Kept()
	if err != nil || !found {
		return login, found, err
	}
	if err := l.forget(ctx, login); err != nil {
		return login, true, err
	}
	if err := os.Remove(l.notePath()); err != nil {
		return login, true, fmt.Errorf("forget the login: %w", err)
	}
	return login, true, nil
}

// forget deletes one; one that is gone already is forgotten.
func (l Logins) forget(ctx context.Context, login Login) error {
	var err error
	if login.Place == InFile {
		err = l.file().Delete(login.Name)
	} else {
		err = l.System.Delete(ctx, login.Name)
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
