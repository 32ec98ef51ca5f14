package platform

import (
	"net/netip"
	"strings"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
)

// Environment is that of every process inside, NAME=value: base, then what
// every platform adds, then the manifest's literals; of a name that occurs
// twice the later counts. proxy is the gateway's; placeholders are those of
// the run's brokered secrets.
func Environment(spec bottle.Spec, base, placeholders []string, proxy netip.AddrPort) []string {
	url := "http://" + proxy.String()
	env := append([]string{}, base...)
	env = append(env, "HOME="+spec.Home)
	for _, variable := range []struct{ name, value string }{
		{"HTTP_PROXY", url}, {"HTTPS_PROXY", url}, {"NO_PROXY", "localhost,127.0.0.1"},
	} {
		env = append(env, variable.name+"="+variable.value, strings.ToLower(variable.name)+"="+variable.value)
	}
	for _, entry := range spec.Env {
		if entry.Kind == environ.Literal {
			env = append(env, entry.Name+"="+entry.Value)
		}
	}
	return lastOfEach(append(env, placeholders...))
}

// lastOfEach keeps, of entries with one name, the last.
func lastOfEach(env []string) []string {
	place := map[string]int{}
	var kept []string
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		if i, ok := place[name]; ok {
			kept[i] = entry
			continue
		}
		place[name] = len(kept)
		kept = append(kept, entry)
	}
	return kept
}
