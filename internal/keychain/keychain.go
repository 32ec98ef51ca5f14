// Package keychain gets secrets from where people keep them, from a program
// that prints one, from the keychain of the person's system, and from a file
// of our own that only its owner can read, and keeps them in the last two. It
// runs on the host, for the person: before a bottle exists, and while one runs
// whose login is renewed. Nothing here remembers a secret.
//
// Errors hold names, paths and the last line that a program said on its
// standard error, which is that program's word. Nothing of ours puts a secret
// there.
package keychain

import "errors"

// maxSecret bounds one secret, in bytes.
const maxSecret = 64 << 10

var (
	// ErrNotFound says that nothing is kept under a name.
	ErrNotFound = errors.New("no such secret is kept")
	// ErrNone says that this session has no keychain.
	ErrNone = errors.New("this session has no keychain")

	errEmpty   = errors.New("the secret is empty")
	errTooLong = errors.New("the secret is larger than 64 KiB")
	errNUL     = errors.New("the secret holds a NUL, which no environment can carry")
)

func check(secret string) error {
	switch {
	case secret == "":
		return errEmpty
	case len(secret) > maxSecret:
		return errTooLong
	}
	for i := range len(secret) {
		if secret[i] == 0 {
			return errNUL
		}
	}
	return nil
}
