// Package environ turns the env entries of a manifest into literals,
// secrets and placeholders. Until it is handed over, a secret's value is in the
// launcher's memory alone, inside a [Secrets], which prints as nothing.
package environ

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"claude-bottle/internal/policy"
)

// Kind says where an entry's value comes from.
type Kind string

// Kinds of entries. Everything that is not a Literal is a secret.
const (
	Literal Kind = "literal" // the manifest's own text
	Host    Kind = "host"    // ${NAME}: the launcher's environment
	Ask     Kind = "ask"     // "?message": asked for on the terminal
	Command Kind = "command" // what a program on the host prints
	// Keychain is an entry of the person's keychain, Login what the command of
	// that name has kept.
	Keychain Kind = "keychain"
	Login    Kind = "login"
)

// Entry is one env entry, without its secret.
type Entry struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Value is a literal's text; empty for secrets.
	Value string `json:"value,omitempty"`
	// Source is the variable's name for Host, the message for Ask, the name of
	// what is kept for Keychain and Login.
	Source string `json:"source,omitempty"`
	// Argv is the program and its arguments for Command.
	Argv []string `json:"argv,omitempty"`
	// Use says where a brokered secret may be used; the bottle then gets a
	// placeholder. Nil for a literal and for a secret that is readable inside.
	Use *policy.Secret `json:"use,omitempty"`
	// With are the secrets that belong to one that signs: the access key ID
	// first, and then a session token, if there is one. They have no Use of
	// their own.
	With []Entry `json:"with,omitempty"`
	// Renew says how what a login kept is renewed, where that expires.
	Renew *Renew `json:"renew,omitempty"`
}

// Renew is where the refresh token of a login goes, and for which client.
type Renew struct {
	URL      string `json:"url"`
	ClientID string `json:"clientID"`
}

// Brokered says whether the bottle gets a placeholder.
func (e Entry) Brokered() bool { return e.Use != nil }

// Names are those of the variables that the entry sets.
func (e Entry) Names() []string {
	names := []string{e.Name}
	for _, with := range e.With {
		names = append(names, with.Name)
	}
	return names
}

// Patterns of what an entry may be, as regular expressions that mean the same
// to Go and to ECMA 262, so that a schema can carry them.
const (
	// NamePattern is a name of POSIX (IEEE 1003.1, 8.1), lower case included.
	NamePattern = `^[A-Za-z_][A-Za-z0-9_]*$`
	// ReservedPattern matches, in any case, the variables that the platform
	// sets so that programs find the gateway. Overriding one opens nothing,
	// since a bottle has no other way out; it only breaks programs in ways
	// that are hard to understand, so it is refused and not ignored.
	ReservedPattern = `^([Hh][Tt][Tt][Pp][Ss]?|[Aa][Ll][Ll]|[Nn][Oo])_[Pp][Rr][Oo][Xx][Yy]$`
	// TextPattern is any value that fits on one line. An environment cannot
	// hold a NUL, and a newline is refused as the existing tool does.
	TextPattern = `^[^\n\r\x00]*$`
	// KeptPattern is the name of an entry of the keychain.
	KeptPattern = `^[A-Za-z0-9][A-Za-z0-9._/@:-]{0,127}$`
	// SourcePattern is what says where a secret comes from: ${NAME} or
	// "?message".
	SourcePattern = `^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|\?[^\n\r\x00]*)$`
)

// Compiled when first needed: most commands read no entry.
var (
	nameForm     = compiled(NamePattern)
	reservedForm = compiled(ReservedPattern)
	textForm     = compiled(TextPattern)
	keptForm     = compiled(KeptPattern)
	reference    = compiled(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
)

func compiled(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// CheckName refuses a name that no program could read, or that would hide the
// gateway from programs.
func CheckName(name string) error {
	switch {
	case !nameForm().MatchString(name):
		return fmt.Errorf("%q is no name for a variable: letters, digits and _ only, and no digit first", name)
	case reservedForm().MatchString(name):
		return fmt.Errorf("%s is set by claude-bottle, so that programs find the gateway; the gateway's own way out is egress.proxy", name)
	}
	return nil
}

// Parse reads the text of one entry: "?" or "?message" asks, exactly ${NAME}
// reads the launcher's environment, anything else is a literal. The warning
// says that a literal looks like a reference that will not be expanded.
func Parse(name, raw string) (entry Entry, warning string, err error) {
	if err := CheckName(name); err != nil {
		return Entry{}, "", err
	}
	if err := checkText(raw); err != nil {
		return Entry{}, "", err
	}
	if message, ok := strings.CutPrefix(raw, "?"); ok {
		// The message is printed on the person's terminal before anything is
		// trusted: an escape sequence in it could rewrite the screen.
		if strings.ContainsFunc(message, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return Entry{}, "", errors.New("the question holds characters that cannot be printed")
		}
		return Entry{Name: name, Kind: Ask, Source: message}, "", nil
	}
	if match := reference().FindStringSubmatch(raw); match != nil {
		return Entry{Name: name, Kind: Host, Source: match[1]}, "", nil
	}
	if strings.Contains(raw, "${") {
		warning = `holds "${" but is not exactly ${NAME}, so it is passed on as it stands; {value: "…"} says that this is meant`
	}
	return Entry{Name: name, Kind: Literal, Value: raw}, warning, nil
}

// ParseSource reads where a secret comes from: what [Parse] reads, but for a
// literal.
func ParseSource(name, raw string) (Entry, error) {
	entry, _, err := Parse(name, raw)
	if err == nil && entry.Kind == Literal {
		return Entry{}, errors.New(`a secret comes from ${NAME}, "?message", a command or the keychain; what is written here would be in the file`)
	}
	return entry, err
}

// ParseCommand is a secret that a program on the host prints. It is started by
// no shell, and not in the working directory, so a path that is relative to
// that would be another program in each.
func ParseCommand(name string, argv []string) (Entry, error) {
	if err := CheckName(name); err != nil {
		return Entry{}, err
	}
	switch {
	case len(argv) == 0 || argv[0] == "":
		return Entry{}, errors.New(`the program is missing: ["pass", "show", "github"]`)
	case strings.ContainsRune(strings.Join(argv, ""), 0):
		return Entry{}, errors.New("an argument cannot hold a NUL")
	case strings.Contains(argv[0], "/") && argv[0][0] != '/' && !strings.HasPrefix(argv[0], "~/"):
		return Entry{}, errors.New("a program is called by its name, or by a path that begins with / or ~/")
	}
	return Entry{Name: name, Kind: Command, Argv: argv}, nil
}

// ParseKeychain is a secret that is in the keychain, as one of ours.
func ParseKeychain(name, kept string) (Entry, error) {
	if err := CheckName(name); err != nil {
		return Entry{}, err
	}
	if !keptForm().MatchString(kept) {
		return Entry{}, errors.New("an entry of the keychain is called by letters, digits and . _ - / @ : only, at most 128, and begins with a letter or digit")
	}
	return Entry{Name: name, Kind: Keychain, Source: kept}, nil
}

// ParseLiteral makes a literal of raw whatever it looks like: the escape form
// {value: raw}.
func ParseLiteral(name, raw string) (Entry, error) {
	if err := CheckName(name); err != nil {
		return Entry{}, err
	}
	if err := checkText(raw); err != nil {
		return Entry{}, err
	}
	return Entry{Name: name, Kind: Literal, Value: raw}, nil
}

// checkText never quotes the text: a person may have pasted a secret.
func checkText(raw string) error {
	switch {
	case textForm().MatchString(raw):
		return nil
	case strings.ContainsRune(raw, 0):
		return errors.New("a value of the environment cannot hold a NUL")
	default:
		return errors.New("a value in a manifest must be one line; give one of several lines as ${NAME}, from the launcher's environment")
	}
}
