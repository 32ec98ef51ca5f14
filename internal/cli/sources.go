package cli

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/keychain"
)

// sources are where a launch gets its secrets from.
func (a *App) sources(stateRoot string) environ.Sources {
	logins := a.logins(stateRoot)
	return environ.Sources{
		Lookup: a.Lookup, Ask: a.secretAsker(),
		Command: a.runForSecret,
		Keychain: func(ctx context.Context, name string) (string, error) {
			value, err := logins.System.Get(ctx, name)
			return value, keychainHint(err, name)
		},
		Login: func(ctx context.Context, name string) (string, error) {
			kept, found, err := logins.Kept()
			if err == nil && (!found || kept.Name != name) {
				err = errors.New("it is kept no more")
			}
			var value string
			if err == nil {
				value, err = logins.Read(ctx, kept)
			}
			if err != nil {
				err = hint.With(err, "claude-bottle login")
			}
			return value, err
		},
	}
}

// logins are the person's, beside the runs: no directory that may be copied
// into a bottle.
func (a *App) logins(stateRoot string) keychain.Logins {
	return keychain.Logins{Dir: stateRoot, System: keychain.System{Getenv: a.Getenv}}
}

// runForSecret runs a program of home's manifest in the person's home: the
// working directory is a project's, and what is in it may be a stranger's.
func (a *App) runForSecret(ctx context.Context, argv []string) (string, error) {
	home, err := a.home()
	if err != nil {
		return "", err
	}
	shown := environ.Shell(argv)
	if rest, ok := strings.CutPrefix(argv[0], "~/"); ok {
		argv = append([]string{filepath.Join(home, rest)}, argv[1:]...)
	}
	value, err := keychain.Command(ctx, home, argv)
	if err != nil && ctx.Err() == nil {
		err = hint.With(err, "see what it says by itself, and that it prints the secret alone: cd && "+shown)
	}
	return value, err
}

// keychainHint says how an entry gets there.
func keychainHint(err error, name string) error {
	switch {
	case errors.Is(err, keychain.ErrNotFound):
		return hint.With(err, "keep it: "+keepCommand(name))
	case errors.Is(err, keychain.ErrNone):
		return hint.With(err, "run it in a session that has one, or take the secret from the environment: ${"+strings.ToUpper(name)+"}")
	}
	return err
}

// keepCommand is the system's own by which a person keeps a secret.
func keepCommand(name string) string {
	if runtime.GOOS == "darwin" {
		return environ.Shell([]string{"security", "add-generic-password", "-s", keychain.Service, "-a", name, "-w"})
	}
	return environ.Shell([]string{"secret-tool", "store", "--label=" + keychain.Service + " " + name, "service", keychain.Service, "username", name})
}

// keptLogin is the name of the credential that `login` has kept; empty for
// none.
func (a *App) keptLogin(stateRoot string) string {
	kept, found, err := a.logins(stateRoot).Kept()
	if err != nil {
		a.note("warning: %v", err)
	}
	if !found {
		return ""
	}
	return kept.Name
}
