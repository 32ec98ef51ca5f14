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

// presetWarnings says which hosts of presets an image says, and by which of its
// files and variables, or why it was not asked: then bottles reach the hosts of
// this machine's clients and no others, whatever the image turns out to say. It
// names the hosts where anyone may publish. Nothing can be sent to them in a
// body; but what is fetched may be anyone's, and a name that is asked for can
// carry what the agent has read: a proxy of modules asks whatever host the name
// says.
func presetWarnings(names []string, presets preset.Table, unread string) []string {
	var warnings []string
	for _, name := range names {
		var open, sources []string
		inImage := map[string][]string{} // by source
		for _, host := range presets[name] {
			if host.Open {
				open = append(open, host.Host)
			}
			if host.Image == "" {
				continue
			}
			if inImage[host.Image] == nil {
				sources = append(sources, host.Image)
			}
			inImage[host.Image] = append(inImage[host.Image], host.Host)
		}
		for _, source := range sources {
			warnings = append(warnings, fmt.Sprintf("egress: preset %s: %s is what the image says, by %s, whatever the clients"+
				" on this machine are configured for", name, strings.Join(inImage[source], ", "), source))
		}
		if unread != "" && preset.OfImage(name) {
			warnings = append(warnings, fmt.Sprintf("egress: preset %s: the hosts are those of the clients on this machine; what those in"+
				" the image are configured for is not known: %s", name, unread))
		}
		if len(open) > 0 {
			warnings = append(warnings, fmt.Sprintf("egress: preset %s: anyone's uploads may be handed out by %s:"+
				" what is fetched can be a stranger's, and the names that are asked for can carry what the agent can read",
				name, strings.Join(open, ", ")))
		}
	}
	return warnings
}
