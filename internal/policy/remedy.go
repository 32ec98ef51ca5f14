package policy

import (
	"fmt"
	"net/netip"
	"strings"
)

// remedy is the line of manifest that would allow r. An address that is not
// public needs to be said to be meant, too.
func remedy(host string, r Request) string {
	entry, private := host, ""
	if r.Kind != DNS && r.Port != 80 && r.Port != 443 {
		entry = listing(host, r.Port)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if rule, _ := judge(addr, nil); rule != "" {
			private = ", " + privately(addr)
		}
	}
	if r.Kind == TCP {
		return fmt.Sprintf("egress: {rules: [{host: %q, port: %d, tcp: true}]%s}", host, r.Port, private)
	}
	return fmt.Sprintf("egress: {allowlist: [%q]%s}", entry, private)
}

// privately is the setting that lifts the checks of an address.
func privately(addr netip.Addr) string {
	return fmt.Sprintf("private: [%q]", netip.PrefixFrom(addr, addr.BitLen()))
}

// Narrowest is the rule that allows r and hardly more: its method and its path
// on its port. A star of the path is meant literally. It is false for what no
// rule with a path can say.
func Narrowest(host string, r Request) (Rule, bool) {
	path := strings.ReplaceAll(r.Path, "*", "%2A")
	if path == "" {
		path = "/"
	}
	var e entry
	if _, err := parseGlob(path); err != nil || e.parseMethods([]string{r.Method}) != nil || !r.Kind.request() {
		return Rule{}, false
	}
	return Rule{Host: host, Port: r.Port, Methods: []string{r.Method}, Paths: []string{path}}, true
}

// ruleRemedy is the narrowest rule that would allow r, where other requests to
// its host are allowed already. It is empty for what no rule can say.
func ruleRemedy(host string, r Request) string {
	if !r.Kind.request() {
		return remedy(host, r)
	}
	rule, ok := Narrowest(host, r)
	if !ok {
		return ""
	}
	port := ""
	if r.Port != 80 && r.Port != 443 {
		port = fmt.Sprintf(", port: %d", r.Port)
	}
	return fmt.Sprintf("egress: {rules: [{host: %q%s, methods: [%s], paths: [%q]}]}", host, port, rule.Methods[0], rule.Paths[0])
}
