// Package keys is what a gateway is given to use: the secrets that it
// signs with and the authority that it inspects by, as plain values on their
// way to it. What they do is in packages broker and ca, which no program needs
// that only passes such values by, or has none: the guest's is without them.
// All of them print without their values.
package keys

import (
	"fmt"
	"io"
	"time"

	"claude-bottle/internal/policy"
)

// Pair is a value and what stands for it inside the bottle. It prints as
// nothing.
type Pair struct {
	Value       string `json:"value"`
	Placeholder string `json:"placeholder"`
}

// String hides the pair.
func (Pair) String() string { return "(a secret)" }

// Format is String, whatever the verb.
func (p Pair) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// Entry says where a secret may be used, as the policy has it.
type Entry = policy.Secret

// Secret is an entry with its value. KeyID and Token, which may be empty, are
// for SigV4 alone.
type Secret struct {
	Entry
	Pair
	KeyID Pair `json:"keyID"`
	Token Pair `json:"token"`
	// Renewal is how the value is renewed; nil for one that is not.
	Renewal *Renewal `json:"renewal,omitempty"`
}

// String shows the name.
func (s Secret) String() string { return "secret " + s.Name }

// Format is String, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// Pairs are all that belong to the secret.
func (s *Secret) Pairs() []Pair {
	all := []Pair{s.Pair}
	for _, p := range []Pair{s.KeyID, s.Token} {
		if p.Value != "" {
			all = append(all, p)
		}
	}
	return all
}

// Renewal is how a secret that expires is renewed: by a refresh token of OAuth
// (RFC 6749, 6), which no bottle sees. It prints as nothing.
type Renewal struct {
	URL      string    `json:"url"` // of the token endpoint, https
	ClientID string    `json:"clientID"`
	Token    string    `json:"token"`   // the refresh token
	Expires  time.Time `json:"expires"` // of the secret
}

// String hides the token.
func (Renewal) String() string { return "(a renewal)" }

// Format is String, whatever the verb.
func (r Renewal) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// Authority is one that certificates are signed by: certificate and key, PEM.
// The zero value is none. Formatting it shows no key.
type Authority struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// String names the authority without its key.
func (a Authority) String() string {
	if a == (Authority{}) {
		return "no authority"
	}
	return "an authority"
}

// Format is String, whatever the verb.
func (a Authority) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, a.String()) }
