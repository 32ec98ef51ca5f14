package environ

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/hint"
)

// Secrets are the values of all entries that are not literals. Only Env and
// Brokered show them; every way of printing or encoding shows names. The zero
// value is empty.
type Secrets struct {
	names        []string
	placeholders []string
	// reveal and broker are closures and not slices because fmt cannot call
	// methods of a Secrets in an unexported field of another struct: it prints
	// the fields then, and of a function only its address.
	reveal func() []string
	broker func() []broker.Secret
	keeper Keeper
}

// Keeper is where logins that a gateway renews are kept, for all of a person's
// runs. Nil functions keep nothing, and let everybody renew.
type Keeper struct {
	// Turn waits, until ctx ends, for the turn to renew the login of a secret,
	// and returns it as it is kept now; empty when it is kept no more.
	Turn func(ctx context.Context, name string) (login string, err error)
	// Renewed ends the turn. A login that is not empty is kept.
	Renewed func(name, login string)
}

// Keeping is s whose logins, when they are renewed, go to keeper.
func (s Secrets) Keeping(keeper Keeper) Secrets {
	s.keeper = keeper
	return s
}

// Turn is the keeper's.
func (s Secrets) Turn(ctx context.Context, name string) (login string, err error) {
	if s.keeper.Turn == nil {
		return "", nil
	}
	return s.keeper.Turn(ctx, name)
}

// Renewed is the keeper's.
func (s Secrets) Renewed(name, login string) {
	if s.keeper.Renewed != nil {
		s.keeper.Renewed(name, login)
	}
}

// Env returns NAME=value for each secret that is readable inside, in the order
// of the entries. The slice is the caller's.
func (s Secrets) Env() []string {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// Placeholders returns NAME=placeholder for each brokered secret: no secrets,
// and all of them that a bottle sees.
func (s Secrets) Placeholders() []string { return append([]string(nil), s.placeholders...) }

// Brokered are the secrets that the gateway holds, for its boot frame alone.
func (s Secrets) Brokered() []broker.Secret {
	if s.broker == nil {
		return nil
	}
	return s.broker()
}

// Names returns the names, in the order of the entries.
func (s Secrets) Names() []string { return append([]string(nil), s.names...) }

// String shows names only.
func (s Secrets) String() string { return "secrets(" + strings.Join(s.names, ", ") + ")" }

// GoString shows names only.
func (s Secrets) GoString() string { return s.String() }

// Format shows names only, whatever the verb.
func (s Secrets) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue shows names only.
func (s Secrets) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON encodes the names as a list.
func (s Secrets) MarshalJSON() ([]byte, error) {
	if s.names == nil {
		return []byte("[]"), nil
	}
	return json.Marshal(s.names)
}

// MarshalText shows names only.
func (s Secrets) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Check reports every variable of the launcher's environment that entries
// name and that is not set, in one error. One that is set and empty counts as
// set, but not where the bottle shall get a placeholder of it.
func Check(entries []Entry, lookup func(string) (string, bool)) error {
	var missing, exports []string
	for _, entry := range flat(entries) {
		if entry.Kind != Host {
			continue
		}
		if value, ok := lookup(entry.Source); ok && (value != "" || !entry.Brokered()) {
			continue
		}
		shown := entry.Source
		if entry.Name != entry.Source {
			shown += " (for " + entry.Name + ")"
		}
		missing = append(missing, shown)
		exports = append(exports, entry.Source+"=…")
	}
	if missing == nil {
		return nil
	}
	what := "variable that the manifest names is not set"
	if len(missing) > 1 {
		what = "variables that the manifest names are not set"
	}
	err := fmt.Errorf("%s: %s", what, strings.Join(missing, ", "))
	return hint.With(err, "export "+strings.Join(exports, " "))
}

// flat has each entry before those that belong to it.
func flat(entries []Entry) []Entry {
	var all []Entry
	for _, entry := range entries {
		all = append(append(all, entry), entry.With...)
	}
	return all
}

// Gather reads every secret once: Host entries from the environment, all
// checked before anything is asked or run, then the others in order. No error
// ever holds a value.
func Gather(ctx context.Context, entries []Entry, from Sources) (Secrets, error) {
	if err := Check(entries, from.Lookup); err != nil {
		return Secrets{}, err
	}
	if from.Ask == nil {
		if names := asked(entries); names != nil {
			err := fmt.Errorf("no terminal to ask on for %s", strings.Join(names, ", "))
			return Secrets{}, hint.With(err, "run it in a terminal, or let the manifest read the launcher's environment: ${"+names[0]+"}")
		}
	}
	g := gathered{literals: entries}
	reading := reading{Sources: from, read: map[string]string{}}
	for _, entry := range entries {
		if entry.Kind == Literal {
			continue
		}
		var values []string
		for _, part := range flat([]Entry{entry}) {
			value, err := reading.value(ctx, part)
			if err != nil {
				return Secrets{}, fmt.Errorf("read %s: %w", part.Name, err)
			}
			values = append(values, value)
		}
		if err := g.add(entry, values); err != nil {
			return Secrets{}, err
		}
	}
	return g.secrets()
}

func asked(entries []Entry) []string {
	var names []string
	for _, entry := range flat(entries) {
		if entry.Kind == Ask {
			names = append(names, entry.Name)
		}
	}
	return names
}
