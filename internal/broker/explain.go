package broker

import (
	"crypto/rand"
	"errors"
	"net/http"

	"claude-bottle/internal/policy"
)

// Outlook is what becomes of requests towards a place that a secret is for.
type Outlook struct {
	Secret string `json:"secret"`
	// With is why a request that carries it is refused; empty when it goes on.
	With string `json:"with,omitempty"`
	// Without is why one that carries no credential is.
	Without string `json:"without,omitempty"`
	// Other is why one that carries a credential of its own is.
	Other string `json:"other,omitempty"`

	rule string // of With
}

// Explain says what a broker of these entries, whatever their values, would
// decide about r by its place alone: method, host, port, path, and whether it
// is verified. Of a host that no secret is for there is nothing to say.
func Explain(entries []Entry, r Request) ([]Outlook, error) {
	var made []Secret
	for _, e := range entries {
		s := Secret{Entry: e, Pair: pretended()}
		if e.SigV4 {
			s.KeyID = pretended()
		}
		made = append(made, s)
	}
	b, err := New(made)
	if err != nil {
		return nil, err
	}
	var all []Outlook
	mine := b.of(r.Host, r.Port)
	for _, s := range mine {
		outlook := Outlook{Secret: s.Name}
		outlook.With, outlook.rule = placed(&attempt{b: b, r: r, mine: mine, used: []*secret{s}})
		outlook.Without, _ = placed(&attempt{b: b, r: r, mine: mine})
		outlook.Other, _ = placed(&attempt{b: b, r: r, mine: mine, rest: http.Header{"Authorization": {"of its own"}}})
		all = append(all, outlook)
	}
	return all, nil
}

// placed is why a request is refused for its place, if it is, and by which rule.
func placed(a *attempt) (reason, rule string) {
	for _, step := range []func() error{a.traced, a.places, a.pinned} {
		if err := step(); err != nil {
			why := new(Refusal)
			if !errors.As(err, &why) {
				why = &Refusal{Reason: err.Error()}
			}
			return why.Reason, why.Rule()
		}
	}
	return "", ""
}

func pretended() Pair { return Pair{Value: rand.Text(), Placeholder: rand.Text()} }

// Refused is the outlook by which no request towards the place goes on, whatever
// credential it carries.
func Refused(all []Outlook) (Outlook, bool) {
	for _, o := range all {
		if o.With == "" || o.Without == "" || o.Other == "" {
			return Outlook{}, false
		}
	}
	if len(all) == 0 {
		return Outlook{}, false
	}
	return all[0], true
}

// Decision is that of a place towards which no request goes on.
func (o Outlook) Decision(host string) policy.Decision {
	return policy.Decision{Host: host, Rule: o.rule, Reason: o.With}
}
