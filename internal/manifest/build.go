package manifest

import (
	"fmt"
	"net/netip"
	"strings"

	"claude-bottle/internal/policy"
)

// build makes the manifest's values of the merged nodes. It is also run when
// there were problems, to find those that only the merged whole shows; wrong
// values are left out then.
func (l *loader) build(root *node) *Manifest {
	m := &Manifest{Bottles: map[string]Bottle{}, Agents: map[string]Agent{}, merged: root}
	m.Files = append(l.sources(Home), l.sources(Project)...)
	if root == nil {
		return m
	}
	bottles := root.get("bottles")
	for _, e := range bottles.objects() {
		m.Bottles[e.key.text] = l.bottle(e.key.text, e.value)
	}
	for _, e := range root.get("agents").objects() {
		m.Agents[e.key.text] = l.agent(e, bottles)
	}
	m.Warnings = sorted(l.warnings)
	return m
}

func (l *loader) bottle(name string, n *node) Bottle {
	bottle := Bottle{Name: name, Isolation: n.get("isolation").word()}
	if bottle.Isolation == "" {
		bottle.Isolation = "auto"
	}
	bottle.Scan = scanOf(n.get("scan"))
	bottle.Gateway = n.get("gateway").word()
	if bottle.Gateway == "" {
		bottle.Gateway = GatewayBuiltin
	}
	if env := n.get("env"); env != nil {
		for _, e := range env.entries {
			entry, warning, err := parseEntry(e)
			if err != nil {
				l.mixed(join("bottles", name), e)
				continue // reported by the walk
			}
			bottle.Env = append(bottle.Env, entry)
			if warning != "" {
				l.warn(e.value, fmt.Sprintf("%s.env.%s: %s", join("bottles", name), entry.Name, warning))
			}
		}
	}
	bottle.Egress = l.egress(name, n.get("egress"))
	limits := n.get("limits")
	bottle.Limits.Memory, _ = parseSize(limits.get("memory").word())
	bottle.Limits.Disk, _ = parseSize(limits.get("disk").word())
	bottle.Limits.CPUs, _ = limits.get("cpus").number()
	pids, _ := limits.get("pids").number()
	bottle.Limits.PIDs = int64(pids)
	bottle.Mounts = l.mounts(n.get("mounts"))
	bottle.Toolchains, bottle.Nested = n.get("toolchains").word(), n.get("nested").yes()
	return bottle
}

// mounts are the paths of a list; what is none was reported by the walk.
func (l *loader) mounts(list *node) []string {
	var paths []string
	if list == nil {
		return nil
	}
	for _, item := range list.items {
		if path, err := l.resolvePath(item); err == nil && item.word() != "" {
			paths = append(paths, path)
		}
	}
	return distinct(paths)
}

func (l *loader) egress(bottle string, n *node) Egress {
	egress := Egress{
		Allowlist: hosts(n.get("allowlist")),
		Proxy:     n.get("proxy").word(),
		NoProxy:   hosts(n.get("no_proxy")),
		Presets:   distinct(n.get("presets").words()),
		Inspect:   choice(n.get("inspect")),
		Unlisted:  n.get("unlisted").word(),
	}
	egress.Budget, _ = parseSize(n.get("budget").word())
	if rules := n.get("rules"); rules != nil {
		for _, item := range rules.items {
			egress.Rules = append(egress.Rules, ruleOf(item))
		}
	}
	for _, s := range distinct(n.get("private").words()) {
		if prefix, err := parseRange(s); err == nil {
			egress.Private = append(egress.Private, prefix)
		}
	}
	if resolve := n.get("resolve"); resolve != nil {
		for _, e := range resolve.entries {
			host, err := policy.Normalise(e.key.text)
			addr, addrErr := netip.ParseAddr(e.value.word())
			if err != nil || addrErr != nil {
				continue
			}
			if egress.Resolve == nil {
				egress.Resolve = map[string]netip.Addr{}
			}
			egress.Resolve[host] = addr.Unmap()
		}
	}
	if ca := n.get("ca"); ca.word() != "" {
		if path, err := l.resolvePath(ca); err == nil {
			egress.CA = path
			egress.Roots = l.roots(ca.file, path)
			egress.ProjectRoots = ca.file.Origin != Home
		}
	}
	if _, rest, found := strings.Cut(egress.Proxy, "://"); found && strings.Contains(rest, "@") {
		l.warn(n.get("proxy"), join("bottles", bottle)+".egress.proxy: the password in it can be read by whoever reads this file")
	}
	return egress
}

// roots are the certificates of a file that the walk has read and checked.
func (l *loader) roots(by *Source, path string) string {
	data, err := l.named(by, path)
	if err != nil {
		return ""
	}
	clean, err := certificates(data)
	if err != nil {
		return ""
	}
	return clean
}

func (l *loader) agent(e entry, bottles *node) Agent {
	n := e.value
	agent := Agent{
		Name:    e.key.text,
		Bottle:  n.get("bottle").word(),
		Harness: HarnessClaude,
		Skills:  distinct(n.get("skills").words()),
		Prompt:  n.get("prompt").word(),
	}
	if harness := n.get("harness"); harness != nil && harness.kind == object {
		agent.Harness = HarnessCommand
		agent.Command = harness.get("command").words()
	}
	path := join("agents", agent.Name)
	switch bottle := n.get("bottle"); {
	case bottle == nil:
		l.problem(e.key, path+`: the key "bottle" is missing: every agent works in one`)
	case agent.Bottle != "" && bottles.get(agent.Bottle) == nil:
		message := fmt.Sprintf("%s.bottle: no bottle %s is defined", path, quote(agent.Bottle))
		var known []string
		for _, b := range bottles.objects() {
			known = append(known, b.key.text)
		}
		if near := closest(agent.Bottle, known, l.problems); near != "" {
			message += fmt.Sprintf("; did you mean %q?", near)
		}
		l.problem(bottle, message)
	}
	return agent
}

func (l *loader) problem(n *node, message string) {
	l.problems = append(l.problems, Problem{At: n.position(), Message: message})
}

func (l *loader) warn(n *node, message string) {
	l.warnings = append(l.warnings, Problem{At: n.position(), Message: message})
}

// hosts are those of a list, spelled so that a person sees which are meant.
func hosts(n *node) []string {
	words := n.words()
	for i, word := range words {
		words[i] = policy.Spelled(word)
	}
	return distinct(words)
}

// distinct drops repetitions and keeps the order.
func distinct(words []string) []string {
	seen := make(map[string]bool, len(words))
	var kept []string
	for _, word := range words {
		if !seen[word] {
			seen[word] = true
			kept = append(kept, word)
		}
	}
	return kept
}
