package doctor

import (
	"slices"
)

// HolesAsOf is when the table of holes was last brought up to date.
const HolesAsOf = "2026-11"

// Names of an engine's components, as it reports them; Desktop is made from
// the platform's name.
const (
	ComponentEngine     = "Engine"
	ComponentContainerd = "containerd"
	ComponentRunc       = "runc"
	ComponentDesktop    = "Docker Desktop"
)

// hole is a published vulnerability that matters to containment: of the
// engine's component, by what runs in a container or by the image it runs.
type hole struct {
	component string
	cve       string // the source: cve.org's record of it
	// from is the first version that has it; empty for all.
	from string
	// fixed has the first version of each release line with the fix. A line
	// that is older than the newest of these and not among them has none.
	fixed []string
	what  string
	// ours is what bottles do about it, where they do.
	ours string
	// when is false where it does not matter on this engine.
	when func(Engine) bool
}

// holes are in the order of their publication. Each row's versions are those
// of its CVE record and of the releases that it names.
func holes() []hole {
	authorised := func(e Engine) bool { return len(e.AuthPlugins) > 0 }
	const noArchive = "claude-bottle never copies through the engine; do not `docker cp` with a bottle"
	return []hole{
		{
			component: ComponentContainerd, cve: "CVE-2020-15257", fixed: []string{"1.3.9", "1.4.3"},
			what: "containers on the host's network reach containerd", ours: "no bottle is on it",
		},
		{
			component: ComponentRunc, cve: "CVE-2021-30465", fixed: []string{"1.0.0-rc95"},
			what: "links swapped in a volume while it is mounted lead to the host's files",
		},
		{
			component: ComponentRunc, cve: "CVE-2023-27561", from: "1.0.0-rc95", fixed: []string{"1.1.5"},
			what: "volumes over /proc get around AppArmor and SELinux",
		},
		{
			component: ComponentRunc, cve: "CVE-2023-28642", fixed: []string{"1.1.5"},
			what: "a link instead of /proc in the image gets around AppArmor",
		},
		{
			component: ComponentRunc, cve: "CVE-2024-21626", fixed: []string{"1.1.12"},
			what: "a leaked descriptor is a way into the host's file system",
		},
		{
			component: ComponentEngine, cve: "CVE-2024-24557", fixed: []string{"24.0.9", "25.0.2"},
			what: "a pulled image can poison the classic builder's cache",
		},
		{
			component: ComponentEngine, cve: "CVE-2024-29018", fixed: []string{"23.0.11", "25.0.5", "26.0.0-rc3"},
			what: "the engine's resolver carries data out of internal networks", ours: "bottles' questions go to their gateway",
		},
		{
			component: ComponentEngine, cve: "CVE-2024-32473", from: "26.0.0", fixed: []string{"26.0.2"},
			what: "IPv6 stays on where it should be off", ours: "bottles switch it off themselves",
		},
		{
			component: ComponentEngine, cve: "CVE-2024-41110", fixed: []string{"23.0.15", "25.0.6", "26.1.5", "27.1.1"},
			what: "a crafted request gets past this engine's authorization plugin", when: authorised,
		},
		{
			component: ComponentRunc, cve: "CVE-2024-45310", fixed: []string{"1.1.14", "1.2.0-rc.3"},
			what: "two containers that share a volume make empty files on the host", ours: "bottles share none",
		},
		{
			component: ComponentEngine, cve: "CVE-2025-54410", fixed: []string{"25.0.13", "28.0.0"},
			what: "after a reload of firewalld, bridge networks reach each other",
		},
		{
			component: ComponentDesktop, cve: "CVE-2025-9074", fixed: []string{"4.44.3"},
			what: "a container reaches the engine's API over the network",
		},
		{
			component: ComponentContainerd, cve: "CVE-2024-25621", fixed: []string{"1.7.29", "2.0.7", "2.1.5", "2.2.0-rc.1"},
			what: "the host's users can enter containerd's directories",
		},
		{
			component: ComponentRunc, cve: "CVE-2025-31133", fixed: []string{"1.2.8", "1.3.3", "1.4.0-rc.3"},
			what: "a swapped /dev/null unmasks files of /proc, a way to the host",
		},
		{
			component: ComponentRunc, cve: "CVE-2025-52565", fixed: []string{"1.2.8", "1.3.3", "1.4.0-rc.3"},
			what: "a swapped /dev/pts entry unmasks files of /proc, a way to the host",
		},
		{
			component: ComponentRunc, cve: "CVE-2025-52881", fixed: []string{"1.2.8", "1.3.3", "1.4.0-rc.3"},
			what: "writes to /proc can be redirected, a way to the host",
		},
		{
			component: ComponentEngine, cve: "CVE-2026-34040", fixed: []string{"29.3.1"},
			what: "an oversized request gets past this engine's authorization plugin", when: authorised,
		},
		{
			component: ComponentEngine, cve: "CVE-2026-41567", fixed: []string{"29.5.1", "2.0.0-beta.14"},
			what: "`docker cp` into a container runs its programs on the host", ours: noArchive,
		},
		{
			component: ComponentEngine, cve: "CVE-2026-41568", fixed: []string{"29.5.1", "2.0.0-beta.14"},
			what: "`docker cp` makes files where a container's links lead", ours: noArchive,
		},
		{
			component: ComponentEngine, cve: "CVE-2026-42306", fixed: []string{"29.5.1", "2.0.0-beta.14"},
			what: "`docker cp` mounts volumes where a container's links lead", ours: noArchive,
		},
		{
			component: ComponentRunc, cve: "CVE-2026-41579", fixed: []string{"1.3.6", "1.4.3", "1.5.0-rc.3"},
			what: "a link instead of /dev in the image changes files of the host, within limits",
		},
		{
			component: ComponentEngine, cve: "CVE-2026-17106", fixed: []string{"29.7.0"},
			what: "an image's layers write outside of it when it is unpacked",
		},
	}
}

// open says whether v, a version of the hole's component, has the hole.
func (h hole) open(v version) bool {
	if from, ok := parseVersion(h.from); ok && v.compare(from) < 0 {
		return false
	}
	newest := version{}
	for _, text := range h.fixed {
		fix, _ := parseVersion(text) // of the table: TestHolesTable
		if fix.line() == v.line() {
			return v.compare(fix) < 0
		}
		if fix.compare(newest) > 0 {
			newest = fix
		}
	}
	if h.component == ComponentEngine && v.numbers[0] < firstEngine {
		// The engine's module counts anew from 2.0.0, later than 28.
		return false
	}
	line, newestLine := v.line(), newest.line()
	return slices.Compare(line[:], newestLine[:]) < 0
}

// firstEngine is the first major number of Docker Engine's releases.
const firstEngine = 17

// holesOf are those of one component of e.
func holesOf(e Engine, component string, v version) []hole {
	var found []hole
	for _, h := range holes() {
		if h.component == component && (h.when == nil || h.when(e)) && h.open(v) {
			found = append(found, h)
		}
	}
	return found
}
