package bottle

import (
	"fmt"
	"strings"

	"claude-bottle/internal/manifest"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/preset"
)

// presetRules are the rules that a bottle's presets stand for: each host may be
// read from and no more, on its one port. A preset that was not looked up is
// refused.
func presetRules(from manifest.Bottle, presets preset.Table) ([]policy.Rule, error) {
	var rules []policy.Rule
	for _, name := range from.Egress.Presets {
		hosts := presets[name]
		if len(hosts) == 0 {
			return nil, fmt.Errorf("bottle %s: egress.presets: nothing is known of %s", from.Name, name)
		}
		for _, host := range hosts {
			rules = append(rules, policy.Rule{
				Host: host.Host, Port: host.Port, Methods: []string{"GET"}, Paths: host.Paths,
				Source: "bottle " + from.Name, Preset: name,
			})
		}
	}
	return rules, nil
}

// presetWarnings names the hosts of presets where anyone may publish. Nothing
// can be sent to them in a body; but what is fetched may be anyone's, and a
// name that is asked for can carry what the agent has read: a proxy of modules
// asks whatever host the name says.
func presetWarnings(names []string, presets preset.Table) []string {
	var warnings []string
	for _, name := range names {
		var open, inImage []string
		variables := ""
		for _, host := range presets[name] {
			if host.Open {
				open = append(open, host.Host)
			}
			if host.Image != "" {
				inImage, variables = append(inImage, host.Host), host.Image
			}
		}
		if len(inImage) > 0 {
			warnings = append(warnings, fmt.Sprintf("egress: preset %s: %s is what the image says, by %s, whatever the clients"+
				" on this machine are configured for", name, strings.Join(inImage, ", "), variables))
		}
		if len(open) > 0 {
			warnings = append(warnings, fmt.Sprintf("egress: preset %s: anyone's uploads may be handed out by %s:"+
				" what is fetched can be a stranger's, and the names that are asked for can carry what the agent can read",
				name, strings.Join(open, ", ")))
		}
	}
	return warnings
}
