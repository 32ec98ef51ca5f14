package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Engine is what was seen of the engine that bottles would run on.
type Engine struct {
	// Problem says why there is none that can be used, Hint what a person can
	// do; a command in it is in backquotes.
	Problem, Hint string

	Endpoint string // unix:///path
	From     string // who named it: "DOCKER_HOST", "default"
	Version  string
	API      string // negotiated
	Kernel   string // its release
	System   string // its operating system, for people
	// Components are its parts, the engine itself among them.
	Components []Component
	// Packages is the host's package manager: "apt-get", "dnf" or empty.
	Packages       string
	AuthPlugins    []string
	Security       []string            // its security options
	Runtimes       map[string][]string // the registered ones and their arguments
	DefaultRuntime string
	// Networked is the runtime that bottles get when it is one whose bottles
	// keep a network; else empty.
	Networked string
	Cgroups   string   // "1" or "2"
	Lacks     []string // limits that it cannot enforce
	// Skew is how far its clock is ahead of ours, within SkewWithin.
	Skew, SkewWithin time.Duration
	Images           []Image
}

// Needs are the images that bottles would be launched from: a recipe's for
// one home and each set of extra roots.
type Needs struct {
	Home string
	// Roots maps extra roots, PEM, to the agents whose bottles have them.
	Roots map[string][]string
}

// Component is one part of an engine.
type Component struct{ Name, Version, Build string }

// Image is one that bottles would be launched from.
type Image struct {
	Name string
	// For are the agents that use it; empty for any.
	For []string
	// Override is the variable that names it; empty for the recipe's.
	Override string
	Present  bool
	// Older says that there is one of an earlier recipe.
	Older bool
}

// JudgeEngine is about the engine itself and what it is made of.
func JudgeEngine(e Engine) []Check {
	if e.Problem != "" {
		return []Check{{Name: "engine", State: Fail, Detail: e.Problem, Notes: notes(e.Hint), Mend: commandIn(e.Hint)}}
	}
	check := Check{
		Name: "engine", State: OK,
		Detail: fmt.Sprintf("%s, API %s, at %s (from %s)", e.Version, e.API, e.Endpoint, e.From),
	}
	for _, option := range e.Security {
		name, _, _ := strings.Cut(option, ",")
		switch name {
		case "name=rootless":
			check.State, check.Mend = Fail, "export DOCKER_HOST=unix:///var/run/docker.sock"
			check.Notes = append(check.Notes, "it runs rootless and maps user ids: the bottle's files would not be yours")
		case "name=userns":
			check.State, check.Mend = Fail, editDaemon
			check.Notes = append(check.Notes, "it remaps user ids: the bottle's files would not be yours; take userns-remap out")
		}
	}
	checks := []Check{check}
	for _, component := range e.Components {
		if slices.Contains([]string{ComponentEngine, ComponentContainerd, ComponentRunc, ComponentDesktop}, component.Name) {
			checks = append(checks, judgeComponent(e, component))
		}
	}
	return append(checks, judgeRuntimes(e), judgeLimits(e), judgeSecurity(e))
}

// judgeComponent says which holes are known of a version.
func judgeComponent(e Engine, c Component) Check {
	check := Check{Name: "holes: " + strings.ToLower(c.Name), State: OK}
	shown := c.Version
	if isPackaged(c.Build) {
		shown = c.Build // with the distribution's own revision, as its security tracker has it
	}
	v, ok := parseVersion(c.Version)
	if !ok {
		check.Detail = fmt.Sprintf("%s: not a release's number, so the table of %s says nothing of it", shown, HolesAsOf)
		return check
	}
	found := holesOf(e, c.Name, v)
	if len(found) == 0 {
		check.Detail = fmt.Sprintf("%s: none known that matters to a bottle (table of %s)", shown, HolesAsOf)
		return check
	}
	check.State, check.Mend = Warn, upgrade(e, c)
	check.Detail = fmt.Sprintf("%s: %d known in upstream's release of that number", shown, len(found))
	if isPackaged(c.Version, c.Build) {
		check.Detail += "; a distribution built this one, and the fixes may be backported: see its security tracker"
	}
	for _, h := range found {
		note := fmt.Sprintf("%s (fixed in %s): %s", h.cve, strings.Join(h.fixed, ", "), h.what)
		if h.ours != "" {
			note += "; " + h.ours
		}
		check.Notes = append(check.Notes, note)
	}
	if check.Mend == "" {
		check.Notes = append(check.Notes, "how to upgrade: https://docs.docker.com/engine/install/")
	}
	return check
}

// upgrade is the command that brings a newer component.
func upgrade(e Engine, c Component) string {
	if slices.ContainsFunc(e.Components, func(c Component) bool { return c.Name == ComponentDesktop }) {
		return "docker desktop update"
	}
	distribution := isPackaged(c.Version, c.Build)
	names := map[string]string{ComponentEngine: "docker-ce", ComponentContainerd: "containerd.io", ComponentRunc: "containerd.io"}
	switch {
	case distribution && e.Packages == "apt-get":
		names = map[string]string{ComponentEngine: "docker.io", ComponentContainerd: "containerd", ComponentRunc: "runc"}
	case distribution && e.Packages == "dnf":
		names = map[string]string{ComponentEngine: "moby-engine", ComponentContainerd: "containerd", ComponentRunc: "runc"}
	}
	switch e.Packages {
	case "apt-get":
		return "sudo apt-get update && sudo apt-get install --only-upgrade " + names[c.Name]
	case "dnf":
		return "sudo dnf upgrade " + names[c.Name]
	}
	return "" // where it came from, nobody knows
}

func judgeRuntimes(e Engine) Check {
	check := Check{Name: "runtimes", State: OK}
	args, registered := e.Runtimes["runsc"]
	switch {
	case !registered:
		check.Detail = fmt.Sprintf("%s; gVisor (runsc), a kernel of its own for each bottle, is not registered", e.DefaultRuntime)
		check.Mend = "sudo runsc install && sudo systemctl restart docker"
	case slices.ContainsFunc(args, ignoresCgroups):
		check.State = Warn
		check.Detail = "runsc is registered with --ignore-cgroups: nothing bounds a bottle's memory, CPU and processes"
		check.Mend = "sudo runsc install && sudo systemctl restart docker"
	default:
		check.Detail = "runsc (gVisor) is registered, and bottles run on it"
	}
	return check
}

func ignoresCgroups(arg string) bool {
	name, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	return name == "ignore-cgroups" && value != "false"
}

// judgeLimits says what the engine's kernel enforces.
func judgeLimits(e Engine) Check {
	check := Check{Name: "cgroups", State: OK, Detail: "v" + e.Cgroups + ": memory, cpus and pids are enforced"}
	if e.Cgroups == "" {
		check.Detail = "memory, cpus and pids are enforced"
	}
	if len(e.Lacks) > 0 {
		check.State = Warn
		check.Detail = fmt.Sprintf("v%s: the engine cannot limit %s; a manifest that asks for it is refused", e.Cgroups, strings.Join(e.Lacks, ", "))
		check.Notes = []string{"with cgroup v2 it can: " + onCommandLine + "systemd.unified_cgroup_hierarchy=1"}
		check.Mend = editCommandLine
	}
	return check
}

// judgeSecurity is about the engine's own filters, which lie below ours.
func judgeSecurity(e Engine) Check {
	check := Check{Name: "engine's filters", State: OK}
	has := map[string]string{}
	for _, option := range e.Security {
		name, rest, _ := strings.Cut(strings.TrimPrefix(option, "name="), ",")
		has[name] = strings.TrimPrefix(rest, "profile=")
	}
	profile, seccomp := has["seccomp"]
	if !seccomp || profile == "unconfined" {
		check.State = Warn
		check.Detail = "the engine applies no seccomp profile; a bottle then has its own filter alone"
		check.Notes = []string{"take seccomp-profile out"}
		check.Mend = editDaemon
		return check
	}
	check.Detail = strings.Join(slices.Sorted(maps.Keys(has)), ", ")
	if profile != "" {
		check.Detail += " (seccomp profile " + profile + ")"
	}
	return check
}

// JudgeImages is about what bottles are launched from.
func JudgeImages(images []Image) []Check {
	var checks []Check
	for _, image := range images {
		check := Check{Name: "image", State: OK, Detail: image.Name}
		if len(image.For) > 0 {
			check.Detail += " for " + strings.Join(image.For, ", ")
		}
		switch {
		case image.Override != "" && image.Present:
			check.Detail += ": there (" + image.Override + ")"
		case image.Override != "":
			check.State, check.Detail = Fail, check.Detail+": not in the engine ("+image.Override+")"
			check.Mend = "docker pull " + quoted(image.Name)
		case image.Present:
			check.Detail += ": built, and current"
		case image.Older:
			check.State, check.Detail = Warn, check.Detail+": built from an earlier recipe; the next start builds it anew"
			check.Mend = startOf(image)
		default:
			check.State, check.Detail = Warn, check.Detail+": not built; the first start builds it, which takes minutes"
			check.Mend = startOf(image)
		}
		checks = append(checks, check)
	}
	return checks
}

func startOf(image Image) string {
	if len(image.For) == 0 {
		return "claude-bottle init"
	}
	return "claude-bottle start " + quoted(image.For[0])
}
