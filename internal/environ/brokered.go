package environ

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/hint"
)

// gathered collects what was read of the entries.
type gathered struct {
	literals     []Entry // all entries, of which the literals are looked at
	names        []string
	readable     []string // NAME=value
	placeholders []string // NAME=placeholder
	brokered     []broker.Secret
}

// add takes the values of an entry and of those that belong to it.
func (g *gathered) add(entry Entry, values []string) error {
	g.names = append(g.names, entry.Names()...)
	if _, whole := broker.ParseLogin(values[0]); whole && !entry.Brokered() {
		return fmt.Errorf("secret %s: %w", entry.Name, errors.New("it is a login with a refresh token, which no bottle gets to read"))
	}
	if !entry.Brokered() {
		g.readable = append(g.readable, entry.Name+"="+values[0])
		return nil
	}
	s, err := g.broker(entry, values)
	if err != nil {
		return hint.With(fmt.Errorf("secret %s: %w", entry.Name, err),
			"leave out hosts and the rest of its use, and the secret itself is in the bottle: "+entry.Name+": ${NAME}")
	}
	for i, pair := range []broker.Pair{s.Pair, s.KeyID, s.Token} {
		if i < len(values) {
			g.placeholders = append(g.placeholders, entry.Names()[i]+"="+pair.Placeholder)
		}
	}
	return nil
}

// broker makes the placeholders of a secret. One value that has two names and
// the same use has one placeholder, since a request shows no name.
func (g *gathered) broker(entry Entry, values []string) (broker.Secret, error) {
	s := broker.Secret{Entry: *entry.Use}
	s.Name = entry.Name
	for i, pair := range []*broker.Pair{&s.Pair, &s.KeyID, &s.Token} {
		if i < len(values) {
			pair.Value = values[i]
		}
	}
	if err := renewable(entry, &s); err != nil {
		return s, err
	}
	for _, known := range g.brokered {
		if sameUse(known, s) {
			return known, nil
		}
	}
	for _, pair := range []*broker.Pair{&s.Pair, &s.KeyID, &s.Token} {
		if pair.Value == "" {
			continue
		}
		var err error
		if pair.Placeholder, err = broker.Placeholder(pair.Value); err != nil {
			return s, err
		}
	}
	g.brokered = append(g.brokered, s)
	return s, nil
}

func sameUse(a, b broker.Secret) bool {
	a.Name, a.Placeholder, a.KeyID.Placeholder, a.Token.Placeholder = b.Name, "", "", ""
	return reflect.DeepEqual(a, b)
}

// secrets checks all that was gathered together.
func (g *gathered) secrets() (Secrets, error) {
	if err := broker.Validate(g.brokered); err != nil {
		return Secrets{}, err
	}
	if err := g.nothingInside(); err != nil {
		return Secrets{}, err
	}
	readable, brokered := g.readable, g.brokered
	return Secrets{
		names: g.names, placeholders: g.placeholders,
		reveal: func() []string { return slices.Clone(readable) },
		broker: func() []broker.Secret { return slices.Clone(brokered) },
	}, nil
}

// nothingInside refuses a secret that the bottle shall not hold and would hold
// under another name.
func (g *gathered) nothingInside() error {
	inside := slices.Clone(g.readable)
	for _, entry := range g.literals {
		if entry.Kind == Literal {
			inside = append(inside, entry.Name+"="+entry.Value)
		}
	}
	for _, s := range g.brokered {
		for _, variable := range inside {
			name, value, _ := strings.Cut(variable, "=")
			if strings.Contains(value, s.Value) {
				return fmt.Errorf("secret %s: %w", s.Name, errors.New(name+" holds it too, and can be read inside"))
			}
		}
	}
	return nil
}

// renewable takes a login apart, whose refresh token the gateway gets beside
// what it renews. One that is not kept by us would be worth nothing where it
// came from, once it was renewed here.
func renewable(entry Entry, s *broker.Secret) error {
	login, is := broker.ParseLogin(s.Value)
	switch {
	case !is:
		return nil
	case entry.Renew == nil:
		return errors.New("it is a login with a refresh token, and nothing is known of how to renew it")
	case entry.Kind == Host || entry.Kind == Ask:
		return errors.New("it is a login with a refresh token, which changes when it is renewed: keep it with claude-bottle login, or take a token that stays")
	}
	s.Value = login.Value
	s.Renewal = &broker.Renewal{URL: entry.Renew.URL, ClientID: entry.Renew.ClientID, Token: login.Refresh, Expires: login.Expires}
	return nil
}
