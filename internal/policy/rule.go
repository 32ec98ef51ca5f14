package policy

import (
	"errors"
	"fmt"
)

// Rule is one rule of a bottle's egress.
type Rule struct {
	// Host is as in [Allow], without a port.
	Host string `json:"host"`
	// Port is 0 for 80 and 443.
	Port int `json:"port,omitempty"`
	// Methods and Paths limit the rule to requests with one of them; none is
	// any.
	Methods []string `json:"methods,omitempty"`
	Paths   []string `json:"paths,omitempty"`
	// Deny refuses what the rule names.
	Deny bool `json:"deny,omitempty"`
	// TCP carries whatever is said, as it is.
	TCP bool `json:"tcp,omitempty"`
	// Inspect is "" or "auto", "always" or "never".
	Inspect string `json:"inspect,omitempty"`
	// Budget is how many bytes may leave by this rule; 0 is no limit.
	Budget int64 `json:"budget,omitempty"`
	// Source says who asked for it, for people.
	Source string `json:"source,omitempty"`
	// Preset is the preset that brought it.
	Preset string `json:"preset,omitempty"`
}

// Ask is the value of [Egress.Unlisted] that has a person asked.
const Ask = "ask"

var errRuleForm = errors.New("only a host and a port are understood in a rule")

// plain is the rule as an allowlist entry, which is all that is understood.
func (r Rule) plain() (Allow, error) {
	if len(r.Methods)+len(r.Paths) > 0 || r.Deny || r.TCP || r.Inspect != "" || r.Budget != 0 {
		return Allow{}, fmt.Errorf("rule for %q: %w", clip(r.Host), errRuleForm)
	}
	host := r.Host
	if r.Port != 0 {
		host = listing(host, r.Port)
	}
	return Allow{Host: host, Source: r.Source}, nil
}

// Asks says whether a person may be asked about names that nothing lists.
func (p *Policy) Asks() bool { return p.asks }
