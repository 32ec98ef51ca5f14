// Package broker lets an agent use secrets that it never holds. The bottle has
// a placeholder of each; the gateway asks a [Broker] about each request that
// it has terminated, and sends on what [Broker.Apply] returns: with the real
// value in place of the placeholder, towards the secret's own hosts and paths
// and nowhere else, or not at all. What comes back passes [Broker.Answer] and
// [Broker.EchoHeader].
//
// Nothing here is read, dialled or written. A broker keeps its secrets, which
// [Broker.Renew] changes, and placeholders are random. The gateway decides whether the host may be reached, and scans
// bodies, with [Broker.Values] among what it looks for.
package broker

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"claude-bottle/internal/keys"
	"claude-bottle/internal/scan"
)

// The values that a broker works with.
type (
	// Entry says where a secret may be used, as the policy has it.
	Entry = keys.Entry
	// Pair is a value and what stands for it inside the bottle.
	Pair = keys.Pair
	// Secret is an entry with its value.
	Secret = keys.Secret
	// Renewal is how a secret that expires is renewed.
	Renewal = keys.Renewal
)

// overlap says whether one of p's two is in one of q's, or the other way.
func overlap(p, q Pair) bool {
	for _, a := range []string{p.Value, p.Placeholder} {
		for _, b := range []string{q.Value, q.Placeholder} {
			if strings.Contains(a, b) || strings.Contains(b, a) {
				return true
			}
		}
	}
	return false
}

// Broker is a run's secrets, ready to be used by any number of requests at
// once.
type Broker struct {
	mintings []compiledMinting
	inside   lookFor // placeholders, in every encoding

	renewing sync.Mutex // guards the order of Renew
	now      atomic.Pointer[values]
}

// values are the secrets as they are at one time. It is never changed.
type values struct {
	secrets []secret
	former  []Pair  // that were renewed; a server may still echo them
	outside lookFor // values, former ones too, in every encoding
}

// lookFor is a scanner that is built when it is needed first. Where it cannot be
// built, nothing leaves and nothing comes in.
type lookFor func() (*scan.Scanner, error)

func lookingFor(values []scan.Value) lookFor {
	return sync.OnceValues(func() (*scan.Scanner, error) { return scan.New(scan.Options{Values: values}) })
}

// Warm builds what the first request would have to wait for: ten milliseconds
// and more for a long secret, which no launch has to.
func (b *Broker) Warm() {
	_, _ = b.inside() // an error is that of each request
	_, _ = b.now.Load().outside()
}

// secrets are those that hold now.
func (b *Broker) secrets() []secret { return b.now.Load().secrets }

// secret is a Secret with its patterns read.
type secret struct {
	Secret
	hosts []hostPattern
	paths []pathPattern
}

// maxValue bounds a value, in bytes: what is looked for grows with it.
const maxValue = 4 << 10

var (
	errNoHost   = errors.New("a secret needs the hosts that it is for")
	errLong     = errors.New("the value is longer than any header that servers take")
	errValue    = errors.New("the value holds characters that no header can carry")
	errPair     = errors.New("value and placeholder are the same, or one is missing")
	errTwoWays  = errors.New("a secret goes in a header, in the query, or signs; more than one was asked for")
	errNoKeyID  = errors.New("an AWS secret access key needs its access key ID")
	errTwice    = errors.New("its value or placeholder is in another secret's, or that in its")
	errQuery    = errors.New("the query parameter's name must be letters, digits, _ - and . only")
	errHeader   = errors.New("the header's name must be letters, digits, - and _ only")
	errHopField = errors.New("no secret can go in this header")
)

// New checks the secrets and builds a broker. Errors name the secret and hold
// no value.
func New(secrets []Secret) (*Broker, error) {
	b := new(Broker)
	var err error
	var inside []scan.Value
	for _, s := range secrets {
		for _, p := range s.Pairs() {
			inside = append(inside, scan.Value{Name: s.Name, Kind: scan.Secret, Bytes: []byte(p.Placeholder)})
		}
	}
	if b.mintings, err = compileMinting(MintingTable()); err != nil {
		return nil, err
	}
	b.inside = lookingFor(inside)
	return b, b.hold(secrets, nil)
}

// hold makes secrets those that hold.
func (b *Broker) hold(secrets []Secret, former []Pair) error {
	compiled, err := compileAll(secrets)
	if err != nil {
		return err
	}
	var outside []scan.Value
	look := func(name, value string) {
		outside = append(outside, scan.Value{Name: name, Kind: scan.Secret, Bytes: []byte(value)})
	}
	for _, s := range secrets {
		for _, p := range s.Pairs() {
			look(s.Name, p.Value)
		}
	}
	for _, p := range former {
		look("a former secret", p.Value)
	}
	b.now.Store(&values{compiled, former, lookingFor(outside)})
	return nil
}

// Validate is what New would say of secrets.
func Validate(secrets []Secret) error {
	_, err := compileAll(secrets)
	return err
}

func compileAll(secrets []Secret) ([]secret, error) {
	var all []secret
	var known []Pair
	for _, s := range secrets {
		compiled, err := compile(s)
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", s.Name, err)
		}
		all = append(all, compiled)
		for _, p := range s.Pairs() {
			if slices.ContainsFunc(known, func(q Pair) bool { return overlap(p, q) }) {
				return nil, fmt.Errorf("secret %s: %w", s.Name, errTwice)
			}
			known = append(known, p)
		}
	}
	return all, nil
}

func compile(s Secret) (secret, error) {
	out := secret{Secret: s}
	for _, p := range s.Pairs() {
		switch {
		case p.Value == p.Placeholder || p.Value == "" || p.Placeholder == "":
			return out, errPair
		case !visible(p.Value) || !visible(p.Placeholder):
			return out, errValue
		case len(p.Value) < scan.MinValue || len(p.Placeholder) < scan.MinValue:
			return out, errShort
		case len(p.Value) > maxValue || len(p.Placeholder) > maxValue:
			return out, errLong
		}
	}
	if s.SigV4 && s.KeyID.Value == "" {
		return out, errNoKeyID
	}
	return out, out.read()
}

// Check says what is wrong with an entry.
func Check(e Entry) error {
	s := secret{Secret: Secret{Entry: e}}
	return s.read()
}

// read reads the entry.
func (s *secret) read() error {
	s.Header = http.CanonicalHeaderKey(s.Header)
	switch {
	case len(s.Hosts) == 0:
		return errNoHost
	case s.Header != "" && s.Query != "", s.SigV4 && s.Header+s.Query != "":
		return errTwoWays
	case strings.Trim(s.Query, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "":
		return errQuery
	case slices.Contains([]string{"Host", "Connection", "Content-Length", "Transfer-Encoding", "Proxy-Authorization"}, s.Header):
		return errHopField
	case strings.Trim(s.Header, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "":
		return errHeader
	}
	for _, text := range s.Hosts {
		host, err := parseHost(text)
		if err != nil {
			return fmt.Errorf("host %q: %w", text, err)
		}
		s.hosts = append(s.hosts, host)
	}
	for _, text := range s.Paths {
		path, err := parsePath(text)
		if err != nil {
			return fmt.Errorf("path %q: %w", text, err)
		}
		s.paths = append(s.paths, path)
	}
	return nil
}

// visible says whether s can stand in a header: printable ASCII, no space at
// either end.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return strings.TrimSpace(s) == s
}

// Values are what the run's scanner must look for beside its own: the real
// values, which never leave by a body, and the placeholders, which are a
// refusal wherever Apply does not take them.
// A nil Broker has none.
func (b *Broker) Values() []scan.Value {
	if b == nil {
		return nil
	}
	var values []scan.Value
	secrets := b.secrets()
	for i := range secrets {
		s := &secrets[i]
		for _, p := range s.Pairs() {
			values = append(values,
				scan.Value{Name: s.Name, Kind: scan.Secret, Bytes: []byte(p.Value)},
				scan.Value{Name: s.Name, Kind: scan.Placeholder, Bytes: []byte(p.Placeholder)})
		}
	}
	return values
}

// Concerns says whether any secret is for host and port, so that TLS to it
// must be terminated.
func (b *Broker) Concerns(host string, port int) bool { return len(b.of(host, port)) > 0 }

// of are the secrets for a host.
func (b *Broker) of(host string, port int) []*secret {
	var mine []*secret
	secrets := b.secrets()
	for i := range secrets {
		if matchHost(secrets[i].hosts, host, port) {
			mine = append(mine, &secrets[i])
		}
	}
	return mine
}
