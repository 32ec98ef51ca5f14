package manifest

import (
	"fmt"
	"reflect"

	"claude-bottle/internal/environ"
)

// guard reports where the project's manifest changes what is home's alone,
// trusted or not: where a secret comes from, and the roots and the proxy that
// see what the gateway sends. Else a project could take home's bottle, with
// home's secrets in it, and listen.
func (l *loader) guard(home, project *node) {
	l.guardBrokered(home, project)
	l.guardOwn(home, project)
	for _, e := range home.get("bottles").objects() {
		over := project.get("bottles", e.key.text)
		if over == nil {
			continue
		}
		path := join("bottles", e.key.text)
		l.guardWay(e.key.text, e.value, over)
		l.guardEgress(path+".gateway", e.value.get("gateway"), over.get("gateway"), equal)
		for _, key := range []string{"mode", "allow", "canary"} { // or a project could switch it off
			l.guardEgress(path+".scan."+key, e.value.get("scan", key), over.get("scan", key), equal)
		}
		l.guardSecrets(path, e.value.get("env"), over.get("env"))
		l.guardEgress(path+".egress.ca", e.value.get("egress", "ca"), over.get("egress", "ca"), l.samePath)
		l.guardEgress(path+".egress.proxy", e.value.get("egress", "proxy"), over.get("egress", "proxy"), equal)
		if proxy := e.value.get("egress", "proxy"); proxy != nil { // what goes around it
			l.guardEgress(path+".egress.no_proxy", orElse(e.value.get("egress", "no_proxy"), proxy), over.get("egress", "no_proxy"), equal)
		}
	}
}

// guardOwn reports what a project may not ask for in any bottle, its own
// included: more of the person's machine, fewer walls, and a gateway that holds
// no secrets, so that the agent's own credential would be readable inside.
func (l *loader) guardOwn(home, project *node) {
	for _, e := range project.get("bottles").objects() {
		path := join("bottles", e.key.text)
		if mounts := e.value.get("mounts"); mounts != nil && (mounts.kind != list || len(mounts.items) > 0) {
			l.problem(mounts, path+".mounts: only home's manifest adds directories of this machine")
		}
		if nested := e.value.get("nested"); nested.yes() {
			l.problem(nested, path+".nested: only home's manifest lifts this")
		}
		gateway := e.value.get("gateway")
		if gateway != nil && gateway.word() != GatewayBuiltin && home.get("bottles", e.key.text, "gateway") == nil { // else it is guarded as such
			l.problem(gateway, path+".gateway: only home's manifest has another program decide, which holds no secrets")
		}
	}
}

func orElse(n, other *node) *node {
	if n != nil {
		return n
	}
	return other
}

func (l *loader) guardSecrets(path string, home, project *node) {
	if home == nil || project == nil {
		return
	}
	for _, e := range home.entries {
		ours, _, err := parseEntry(e)
		if err != nil || ours.Kind == environ.Literal {
			continue
		}
		value := project.child(e.key.text)
		if value == nil {
			continue
		}
		if theirs, _, err := parseEntry(entry{e.key, value}); err == nil && reflect.DeepEqual(theirs, ours) {
			continue
		}
		l.problem(value, fmt.Sprintf("%s.env.%s: a secret of home's manifest (%s), whose source and use no project may change",
			path, e.key.text, e.value.position()))
	}
}

func (l *loader) guardEgress(path string, home, project *node, same func(a, b *node) bool) {
	if home == nil || project == nil || same(home, project) {
		return
	}
	l.problem(project, fmt.Sprintf("%s: set by home's manifest (%s), and no project may change it", path, home.position()))
}

// samePath compares where two paths lead, since each is relative to its own
// file.
func (l *loader) samePath(a, b *node) bool {
	if a.kind != text || b.kind != text {
		return equal(a, b)
	}
	first, errA := l.resolvePath(a)
	second, errB := l.resolvePath(b)
	return errA == nil && errB == nil && first == second
}
