package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Login is what a login gave: a credential that expires, and the token that
// renews it. It prints as nothing.
type Login struct {
	Value   string
	Refresh string
	Expires time.Time
}

// String hides the login.
func (Login) String() string { return "(a login)" }

// Format is String, whatever the verb.
func (l Login) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.String()) }

// login is how Claude Code keeps one.
type login struct {
	OAuth struct {
		Access  string `json:"accessToken"`
		Refresh string `json:"refreshToken"`
		Expires int64  `json:"expiresAt"` // milliseconds of the epoch
	} `json:"claudeAiOauth"`
}

// ParseLogin reads a login as Claude Code keeps it, and says whether text is
// one.
func ParseLogin(text string) (Login, bool) {
	var l login
	if err := json.Unmarshal([]byte(text), &l); err != nil || l.OAuth.Access == "" || l.OAuth.Refresh == "" {
		return Login{}, false
	}
	return Login{l.OAuth.Access, l.OAuth.Refresh, time.UnixMilli(l.OAuth.Expires)}, true
}

// Text is the login in the form that ParseLogin reads.
func (l Login) Text() string {
	var out login
	out.OAuth.Access, out.OAuth.Refresh, out.OAuth.Expires = l.Value, l.Refresh, l.Expires.UnixMilli()
	data, err := json.Marshal(out)
	if err != nil { // strings and a number: cannot be
		return ""
	}
	return string(data)
}

// RenewalRequest is the body of the request that renews.
func RenewalRequest(r Renewal) ([]byte, error) {
	return json.Marshal(map[string]string{"grant_type": "refresh_token", "refresh_token": r.Token, "client_id": r.ClientID})
}

var errRenewal = errors.New("the answer holds no token of the kind that is renewed")

// ParseRenewal reads what the token endpoint answered at a time (RFC 6749, 5.1).
// One that keeps the refresh token says nothing of it. No error holds any of
// the answer.
func ParseRenewal(r Renewal, answer []byte, now time.Time) (Login, error) {
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Seconds int64  `json:"expires_in"`
	}
	if err := json.NewDecoder(bytes.NewReader(answer)).Decode(&got); err != nil {
		return Login{}, errRenewal
	}
	if got.Refresh == "" {
		got.Refresh = r.Token
	}
	if len(got.Access) < 8 || !visible(got.Access) || !visible(got.Refresh) || got.Seconds <= 0 || got.Seconds > 400*24*60*60 {
		return Login{}, errRenewal
	}
	return Login{got.Access, got.Refresh, now.Add(time.Duration(got.Seconds) * time.Second)}, nil
}

// maxFormer is how many former values of all secrets are looked for.
const maxFormer = 8

// Renew puts another value in a secret's place, behind the same placeholder.
// Requests that were asked about before keep the one that they got.
func (b *Broker) Renew(name, value string) error {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	now := b.now.Load()
	var secrets []Secret
	former := slices.Clone(now.former)
	found := false
	for i := range now.secrets {
		s := now.secrets[i].Secret
		if s.Name == name {
			found = true
			if s.Value != value {
				former = append(former, s.Pair)
				s.Value = value
			}
		}
		secrets = append(secrets, s)
	}
	if !found {
		return fmt.Errorf("secret %s: there is none of this name", name)
	}
	former = former[max(0, len(former)-maxFormer):]
	return b.hold(secrets, former)
}
