package bottletest

import (
	"slices"

	"claude-bottle/internal/probe"
)

// Place is a platform, as somebody has it.
type Place string

// Places that the suite is run at.
const (
	DockerRunc   Place = "docker runc"
	DockerGvisor Place = "docker gVisor"
	NativeRoot   Place = "native as root"
	NativeUser   Place = "native as user"
	OnFake       Place = "fake"
)

// Places is all of them.
func Places() []Place { return []Place{DockerRunc, DockerGvisor, NativeRoot, NativeUser, OnFake} }

// Declaration is something of the suite that a place does not do, and why.
type Declaration struct {
	Place Place
	// Row is "group/row", or "probe/kind" of a check that a launch makes.
	Row string
	Why string
	// Refused says that a manifest that asks for it is refused before the plan,
	// by name. The row is run all the same, and wants either.
	Refused bool
}

// Declared is the whole list (docs/conformance.md).
func Declared() []Declaration {
	list := []Declaration{
		{Place: DockerGvisor, Row: "teardown/children do not outlive the bottle", Why: "the host does not see the processes inside"},
		{Place: OnFake, Row: "killed/the gateway", Why: "it has no gateway"},
		{Place: OnFake, Row: "standing still/the gateway", Why: "it has no gateway"},
		{Place: OnFake, Row: "secrets/do not leave", Why: "it has no gateway"},
		{Place: OnFake, Row: "isolation/attacks from inside", Why: "it has no isolation: it is for tests of what is above platforms"},
	}
	for _, row := range gatewayRows() {
		list = append(list, Declaration{Place: OnFake, Row: "gateway/" + row.name, Why: "it has no gateway"})
	}
	for _, limit := range []string{"processes", "memory", "processors"} {
		list = append(list,
			Declaration{DockerGvisor, "limits/" + limit, "registered with --ignore-cgroups, as here, gVisor enforces none", true},
			Declaration{OnFake, "limits/" + limit, "it enforces nothing", false})
	}
	for _, limit := range []string{"memory", "processors"} {
		for _, place := range []Place{NativeRoot, NativeUser} {
			list = append(list, Declaration{place, "limits/" + limit, "where the user may make no control groups", true})
		}
	}
	list = append(list, Declaration{OnFake, "limits/disk", "it enforces nothing", false})
	for _, place := range []Place{DockerRunc, DockerGvisor, OnFake} {
		list = append(list, Declaration{Place: place, Row: "killed/every other process", Why: "it has no others of its own; test/faults kills the engine"},
			Declaration{Place: place, Row: "standing still/every other process", Why: "it has no others of its own"})
	}
	for _, place := range []Place{DockerRunc, DockerGvisor} {
		list = append(list, Declaration{Place: place, Row: "crash/parts that die anywhere", Why: "its parts are containers: TestPartKilled kills them"})
	}
	return append(list, unprobed()...)
}

// unprobed are kinds of checks that a place cannot make, or that mean nothing
// there.
func unprobed() []Declaration {
	var list []Declaration
	add := func(place Place, why string, kinds ...string) {
		for _, kind := range kinds {
			list = append(list, Declaration{Place: place, Row: "probe/" + kind, Why: why})
		}
	}
	for _, place := range []Place{NativeRoot, NativeUser} {
		add(place, "no network leads anywhere, and there is no engine", probe.Resolver)
		add(place, "the gateway's other leg is the host's own, whose sockets and packets are not all its", probe.EgressLeg, probe.GatewayPort, probe.Forwarding)
	}
	add(OnFake, "it has no gateway, no network and no engine", probe.Host, probe.FarSide, probe.EgressLeg, probe.Resolver, probe.GatewayPort,
		probe.Forwarding, probe.Proxy, probe.Names, probe.Plain, probe.Control, probe.Broadcast, probe.EngineSocket)
	add(OnFake, "its bottles see the host's file system", probe.Setting, probe.Device)
	add(OnFake, "its process 1 was root's, and keeps the bounding set of capabilities", probe.Capabilities, probe.User)
	return list
}

// declared says what a place declares of a row.
func (p Place) declared(row string) (Declaration, bool) {
	list := Declared()
	at := slices.IndexFunc(list, func(d Declaration) bool { return d.Place == p && d.Row == row })
	if at < 0 {
		return Declaration{}, false
	}
	return list[at], true
}

// unprobed are the kinds that a place declares.
func (p Place) unprobed() []string {
	var kinds []string
	for _, kind := range probe.Kinds() {
		if _, is := p.declared("probe/" + kind); is {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}
