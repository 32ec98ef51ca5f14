package keychain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zalando/go-keyring"
)

// Service is whose entries those of ours are: the attribute "service" of an
// entry, beside "username", its name. No other entry is ever asked for.
const Service = "claude-bottle"

// systemTime is how long the keychain may take: a person may have to unlock
// it.
const systemTime = 2 * time.Minute

var errLocked = errors.New("it did not answer within two minutes; it may be locked")

// System is the keychain of the person's session: the Secret Service of the
// freedesktop.org specification on the session's message bus (GNOME Keyring,
// KWallet, KeePassXC), the login keychain of macOS.
type System struct {
	// Getenv reads the launcher's environment.
	Getenv func(name string) string
}

// Get returns the secret of a name, or an error that wraps [ErrNotFound] or
// [ErrNone].
func (s System) Get(ctx context.Context, name string) (string, error) {
	secret, err := s.ask(ctx, func() (string, error) { return keyring.Get(Service, name) })
	if err == nil {
		err = check(secret)
	}
	if err != nil {
		return "", fmt.Errorf("read %s from the keychain: %w", name, err)
	}
	return secret, nil
}

// Set keeps a secret, in place of one that was there.
func (s System) Set(ctx context.Context, name, secret string) error {
	err := check(secret)
	if err == nil {
		_, err = s.ask(ctx, func() (string, error) { return "", keyring.Set(Service, name, secret) })
	}
	if err != nil {
		return fmt.Errorf("keep %s in the keychain: %w", name, err)
	}
	return nil
}

// Delete forgets a secret. One that is not there is ErrNotFound.
func (s System) Delete(ctx context.Context, name string) error {
	_, err := s.ask(ctx, func() (string, error) { return "", keyring.Delete(Service, name) })
	if err != nil {
		return fmt.Errorf("delete %s from the keychain: %w", name, err)
	}
	return nil
}

// ask does what may wait for a person, and for no longer than ctx. One that is
// given up on ends with the process.
func (s System) ask(ctx context.Context, do func() (string, error)) (string, error) {
	if err := reachable(s.Getenv); err != nil {
		return "", err
	}
	type answer struct {
		secret string
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		secret, err := do()
		answered <- answer{secret, err}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, systemTime, errLocked)
	defer cancel()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case a := <-answered:
		if errors.Is(a.err, keyring.ErrNotFound) {
			return "", ErrNotFound
		}
		return a.secret, explain(a.err)
	}
}
