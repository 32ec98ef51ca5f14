package bottle

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/policy"
)

// withSecrets adds to egress where the brokered ones among env may be used. It
// allows nothing more: the secret says who the agent is at a host, and the
// allowlist and the rules whether it gets there.
func withSecrets(egress policy.Egress, env []environ.Entry) (policy.Egress, error) {
	for _, entry := range env {
		if entry.Brokered() {
			egress.Secrets = append(egress.Secrets, *entry.Use)
		}
	}
	if _, err := policy.Compile(egress); err != nil {
		return policy.Egress{}, fmt.Errorf("egress: %w", err)
	}
	return egress, nil
}

// secretWarnings says what an agent could do with secrets that it does not
// hold, and which of them it could not use at all.
func secretWarnings(egress policy.Egress) []string {
	compiled, err := policy.Compile(egress)
	if err != nil {
		return nil
	}
	var warnings []string
	for _, s := range egress.Secrets {
		usable := compiled.Uses(s)
		var shut []string
		for _, host := range s.Hosts {
			if !slices.Contains(usable, host) {
				shut = append(shut, host)
			}
		}
		if len(shut) > 0 {
			warnings = append(warnings, fmt.Sprintf("secret %s: egress does not allow %s, so it cannot be used there: add the host to egress.allowlist",
				s.Name, strings.Join(shut, ", ")))
		}
		if (len(s.Paths) == 0 || slices.Contains(s.Paths, "/**")) && !s.SigV4 {
			warnings = append(warnings, fmt.Sprintf("secret %s: no path is limited: the agent can do at %s whatever the account can, but for making new credentials where that is known",
				s.Name, strings.Join(s.Hosts, ", ")))
		}
		if s.SigV4 {
			warnings = append(warnings, fmt.Sprintf("secret %s: the agent can do at %s whatever the key can: give it a role of its own",
				s.Name, strings.Join(s.Hosts, ", ")))
		}
		if s.Query != "" {
			warnings = append(warnings, fmt.Sprintf("secret %s: it goes in the query (%s), which servers write into their logs", s.Name, s.Query))
		}
		for _, host := range s.Hosts {
			if strings.HasPrefix(host, "*.") {
				warnings = append(warnings, fmt.Sprintf("secret %s: it is for every name below %s", s.Name, host[2:]))
			}
		}
	}
	return warnings
}

// printSecrets writes each brokered secret: its variables, and where it goes.
func printSecrets(line lineFunc, env []environ.Entry) {
	label := "secrets"
	for _, entry := range env {
		if !entry.Brokered() {
			continue
		}
		line(label, "%s", printable(secretSummary(entry)))
		label = ""
	}
}

func secretSummary(entry environ.Entry) string {
	use := entry.Use
	text := strings.Join(entry.Names(), ", ") + " -> " + shortened(strings.Join(use.Hosts, " "), 200)
	if len(use.Paths) > 0 {
		text += " " + shortened(strings.Join(use.Paths, " "), 200)
	}
	switch {
	case use.SigV4:
		text += ", signs (AWS)"
	case use.Header != "":
		text += ", header " + use.Header
	case use.Query != "":
		text += ", query " + use.Query
	}
	if use.OwnCredentials {
		text += ", other credentials too"
	}
	if use.Anonymous {
		text += ", or none"
	}
	return text + " (a placeholder inside)"
}

// printSources writes where secrets come from that are neither in the
// environment nor asked for: what will be run, and what will be read.
func printSources(line lineFunc, env []environ.Entry) {
	label := "from"
	for _, entry := range env {
		for _, part := range append([]environ.Entry{entry}, entry.With...) {
			if from := part.From(); from != "" {
				line(label, "%s is %s", printable(part.Name), printable(from))
				label = ""
			}
		}
	}
}

// elsewhere warns of a harness that is led to another server than the one that
// its credential is for. A manifest of a project can say where; so the
// credential does not follow.
func elsewhere(row harness.Harness, env []environ.Entry, token credential) []string {
	for _, entry := range env {
		if row.BaseURL == "" || entry.Name != row.BaseURL || entry.Kind != environ.Literal {
			continue
		}
		u, err := url.Parse(entry.Value)
		for _, brokered := range token.entries {
			if brokered.Brokered() && (err != nil || !slices.Contains(brokered.Use.Hosts, u.Host)) {
				return []string{fmt.Sprintf("harness %s: %s leads to %s, and %s is not sent there: an env entry %s with secret and hosts in your own manifest says that it may be",
					row.Name, row.BaseURL, withoutUser(entry.Value), brokered.Source, brokered.Name)}
			}
		}
	}
	return nil
}
