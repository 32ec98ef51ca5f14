package environ

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Sources are where secrets come from. What is nil is not there; each is asked
// once for each secret, after the plan was confirmed.
type Sources struct {
	// Lookup reads the launcher's environment.
	Lookup func(string) (string, bool)
	// Ask asks a person; nil means that nobody can be asked.
	Ask func(ctx context.Context, name, message string) (string, error)
	// Command runs a program of home's manifest, by no shell.
	Command func(ctx context.Context, argv []string) (string, error)
	// Keychain reads an entry of the keychain, Login what `login` kept.
	Keychain func(ctx context.Context, name string) (string, error)
	Login    func(ctx context.Context, name string) (string, error)
}

// reading remembers what was read, until all is: two variables of one source
// run its program once.
type reading struct {
	Sources
	read map[string]string // by kind and source
}

func (r reading) value(ctx context.Context, entry Entry) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	switch entry.Kind {
	case Ask:
		return r.answer(ctx, entry)
	case Host:
		value, ok := r.Lookup(entry.Source)
		if !ok {
			return "", fmt.Errorf("%s is no longer set", entry.Source)
		}
		return value, nil
	}
	key := strings.Join(append([]string{string(entry.Kind), entry.Source}, entry.Argv...), "\x00")
	if value, ok := r.read[key]; ok {
		return value, nil
	}
	value, err := r.fetch(ctx, entry)
	if err != nil {
		return "", err
	}
	r.read[key] = value
	return value, nil
}

func (r reading) answer(ctx context.Context, entry Entry) (string, error) {
	value, err := r.Ask(ctx, entry.Name, entry.Source)
	switch {
	case err != nil:
		return "", err
	case value == "":
		return "", errors.New("nothing was entered")
	case strings.ContainsRune(value, 0):
		return "", errors.New("what was entered holds a NUL")
	}
	return value, nil
}

func (r reading) fetch(ctx context.Context, entry Entry) (string, error) {
	switch {
	case entry.Kind == Command && r.Command != nil:
		return r.Command(ctx, entry.Argv)
	case entry.Kind == Keychain && r.Keychain != nil:
		return r.Keychain(ctx, entry.Source)
	case entry.Kind == Login && r.Login != nil:
		return r.Login(ctx, entry.Source)
	}
	return "", fmt.Errorf("no entry of kind %q can be read here", entry.Kind)
}

// From says in words where the secret comes from; empty for the environment
// and the terminal, which need no word.
func (e Entry) From() string {
	switch e.Kind {
	case Command:
		return "what `" + Shell(e.Argv) + "` prints, on this machine"
	case Keychain:
		return "the keychain, " + e.Source
	case Login:
		return "claude-bottle login, " + e.Source
	}
	return ""
}

// Shell is a command line that a POSIX shell reads back as argv.
func Shell(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = word
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") != "" {
			words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
