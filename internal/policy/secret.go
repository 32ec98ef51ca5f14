package policy

import (
	"errors"
	"fmt"
	"strings"
)

// Secret says where a brokered secret may be used, without its value. The
// bottle holds a placeholder of it, which the gateway replaces towards these
// hosts and paths and nowhere else. It allows no host: that is for [Egress].Allow
// and Rules to do; but TLS to a host of it that is allowed is always opened.
type Secret struct {
	Name string `json:"name"` // of the variable that holds the placeholder
	// Hosts are names, or "*.name" for every name below; port 443 unless
	// "name:port". Empty is nowhere, which is an error.
	Hosts []string `json:"hosts"`
	// Paths limit where on them: "*" stands for anything in a segment, "**"
	// for any segments. Empty is every path, but for those that give out new
	// credentials, which no path here brings back.
	Paths []string `json:"paths,omitempty"`
	// Header is the one header that may hold the secret; empty for any whose
	// name says that it is for a credential.
	Header string `json:"header,omitempty"`
	// Query is the query parameter that holds the secret, for an API that
	// takes it nowhere else; then no header may.
	Query string `json:"query,omitempty"`
	// SigV4 says that the secret is an AWS secret access key, which signs and
	// is never sent.
	SigV4 bool `json:"sigv4,omitempty"`
	// OwnCredentials lets requests bring other credentials as well.
	OwnCredentials bool `json:"ownCredentials,omitempty"`
	// Anonymous lets requests go without the secret.
	Anonymous bool `json:"anonymous,omitempty"`
}

// compileSecrets reads the hosts of secrets, and refuses rules that would keep
// TLS to them shut.
func (p *Policy) compileSecrets(e Egress) error {
	var errs []error
	for _, s := range e.Secrets {
		if s.Name == "" || len(s.Hosts) == 0 {
			errs = append(errs, fmt.Errorf("secret %q: a name and hosts are needed", clip(s.Name)))
		}
		for _, text := range s.Hosts {
			host, err := parseSecretHost(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("secret %q: host %q: %w", clip(s.Name), clip(text), err))
				continue
			}
			p.secrets = append(p.secrets, host)
			errs = append(errs, e.shut(host, s.Name))
		}
	}
	return errors.Join(errs...)
}

func parseSecretHost(text string) (*entry, error) {
	host, port, err := splitPort(text)
	if err != nil {
		return nil, err
	}
	e := &entry{port: port}
	if port == 0 {
		e.port = 443 // a secret is for TLS
	}
	return e, e.setHost(host)
}

// shut is the error of a rule that carries unseen all that a secret is for.
func (e Egress) shut(secret *entry, name string) error {
	for i, r := range e.Rules {
		rule, err := parseRule(r)
		if err != nil || !rule.tcp && rule.inspect != InspectNever {
			continue // reported with the rule
		}
		if rule.host == secret.host && rule.below == secret.below && rule.takes(secret.port) {
			word := "inspect: never"
			if rule.tcp {
				word = "tcp"
			}
			return &RuleError{Index: i, Host: rule.pattern(), Err: fmt.Errorf(
				"%s cannot hold: the gateway puts the secret %s in there", word, clip(name))}
		}
	}
	return nil
}

// forSecret says whether a secret is for this host and port.
func (p *Policy) forSecret(host string, port int) bool {
	for _, e := range p.secrets {
		if e.port == port && (!e.below && e.host == host || e.below && strings.HasSuffix(host, "."+e.host)) {
			return true
		}
	}
	return false
}

// Uses says whether a secret is for a host that e allows: which of its hosts
// are allowed, at least in part.
func (p *Policy) Uses(s Secret) (usable []string) {
	for _, text := range s.Hosts {
		host, err := parseSecretHost(text)
		if err == nil && p.allowsSome(host) {
			usable = append(usable, text)
		}
	}
	return usable
}

// allowsSome says whether anything of a secret's host is allowed.
func (p *Policy) allowsSome(secret *entry) bool {
	for _, m := range []map[string][]*entry{p.exact, p.below} {
		for _, entries := range m {
			for _, e := range entries {
				if !e.deny && e.takes(secret.port) && overlap(e, secret) {
					return true
				}
			}
		}
	}
	return false
}

// overlap says whether two patterns have a name in common.
func overlap(a, b *entry) bool {
	switch {
	case a.below && b.below:
		return a.host == b.host || strings.HasSuffix(a.host, "."+b.host) || strings.HasSuffix(b.host, "."+a.host)
	case a.below:
		return strings.HasSuffix(b.host, "."+a.host)
	case b.below:
		return strings.HasSuffix(a.host, "."+b.host)
	default:
		return a.host == b.host
	}
}
