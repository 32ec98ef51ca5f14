//go:build linux

package native

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/handover"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// observed is all that a plan depends on beside the spec. Plain values, so that
// plan is a function of its arguments.
type observed struct {
	Run runs.ID
	Dir string
	// UID is the launcher's own.
	UID int

	Pinned string // CLAUDE_BOTTLE_CONTAINER
	// Names in use by bottles of the store.
	Names map[string]bool

	Bubblewrap string // the program's path; empty when there is none
	// Namespaces says why no user namespace can be made; nil when one can.
	Namespaces error
	System     shown
	Masked     []string
	// Added is what the manifest adds of the host.
	Added []bottle.HostMount
	// Tools are toolchains on the PATH of the person, and Left those that are not
	// taken, a warning each.
	Tools    []toolchain
	Left     []string
	Env      []string
	Landlock bool
	// Hierarchies are where control groups can be made; not looked at when no
	// limit needs one.
	Hierarchies []hierarchy
	// Closed is a directory that keeps the agent's uid from Harness.
	Closed  string
	Harness program // the zero value when it is not on the host
	// Install is what has to be installed in its place.
	Install *bottle.NativeInstall
}

// program is the agent's on the host.
type program struct {
	Name string // by which it is called
	Path string // of the file, links resolved
	Dir  string // what of the host it needs: the package it belongs to, or Path
	// What both were when it was found; the zero value when that was not to be
	// known, which nothing is.
	PathFile, DirFile bottle.File
}

// Where the agent's program is inside, when it is not a part of the system.
const (
	harnessDir = "/.claude-bottle/harness"
	harnessBin = "/.claude-bottle/bin"
)

// searchPath is where programs are inside.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// defaultPIDs is a bottle's limit when its manifest sets none.
const defaultPIDs = 4096

// plan resolves a spec into what a launch will do. It refuses by name what
// this machine cannot honour.
func plan(spec bottle.Spec, seen observed) (bottle.Plan, error) {
	if err := refuse(spec, seen); err != nil {
		return bottle.Plan{}, err
	}
	name, err := chooseName(spec.Slug, seen)
	if err != nil {
		return bottle.Plan{}, err
	}
	part := &bottle.NativePlan{
		Pinned: seen.Pinned != "", Bubblewrap: seen.Bubblewrap, Path: searchPath, Env: seen.Env, Masked: seen.Masked, PIDs: spec.Limits.PIDs,
		Address: handover.Address(), Ports: wire.StandardPorts,
	}
	if spec.Nested {
		part.Masked = nil // as /proc/sys: see arguments
	}
	if part.PIDs == 0 {
		part.PIDs = defaultPIDs
	}
	if part.Groups, part.Scope, err = groupsFor(spec.Limits, seen.Hierarchies); err != nil {
		return bottle.Plan{}, err
	}
	if !spec.Bare {
		part.Mounts, part.Copies, part.Links = seen.System.Mounts, seen.System.Copies, seen.System.Links
		addHarness(part, seen.Harness, seen.Closed)
		part.Install = seen.Install
	}
	made := bottle.Plan{
		Run: seen.Run, Dir: seen.Dir, Name: name, Platform: Name, Spec: spec,
		Warnings: slices.Concat(spec.Warnings, warnings(spec, seen)), Mounts: seen.Added, Native: part,
	}
	if !spec.Bare {
		addToolchains(&made, seen.Tools)
	}
	return made, nil
}

// warnings are what this machine gives less of than others.
func warnings(spec bottle.Spec, seen observed) []string {
	var lines []string
	if !seen.Landlock {
		lines = append(lines, "gateway: the kernel has no Landlock: who took the gateway over could read what you can")
	}
	if seen.Closed != "" {
		lines = append(lines, fmt.Sprintf("harness: %s is not taken along: the bottle's user may not pass %s", seen.Harness.Path, seen.Closed))
	}
	if spec.Nested {
		lines = append(lines, "nested: what runs inside may make namespaces and mounts, where it has every capability: more of the kernel can be attacked from there")
	}
	return append(lines, seen.Left...)
}

// refuse refuses what would be less than was asked.
func refuse(spec bottle.Spec, seen observed) error {
	if err := refuseMachine(seen.Bubblewrap, seen.Namespaces); err != nil {
		return err
	}
	switch {
	case spec.Gateway == bottle.Pipelock:
		return hint.With(errors.New("gateway pipelock: it is a container's, and native bottles have none"),
			"use --platform docker, or set gateway: builtin")
	case spec.Isolation == bottle.Runsc:
		return hint.With(errors.New("isolation runsc: native bottles share the host's kernel"),
			"use --platform docker, or set isolation: auto")
	case seen.UID != 0 && spec.UID != seen.UID:
		return fmt.Errorf("uid %d: an ordinary user's bottles run under that user's own, %d", spec.UID, seen.UID)
	}
	return refusePlaces(spec)
}

// refuseMachine refuses one that lacks a program or may not make namespaces.
func refuseMachine(program string, namespaces error) error {
	if program == "" {
		return hint.With(errors.New("bubblewrap is not installed: there is no bwrap in PATH"),
			hint.Install("the package bubblewrap", "bubblewrap", nil)+", or use --platform docker")
	}
	return namespaces
}

// refusePlaces refuses a home that would lie over the system.
func refusePlaces(spec bottle.Spec) error {
	for _, system := range []string{"/usr", "/bin", "/lib", "/lib64", "/sbin", "/etc", "/proc", "/dev", "/sys", "/run", "/tmp", "/var"} {
		if spec.Home == system || strings.HasPrefix(spec.Home, system+"/") {
			return hint.With(fmt.Errorf("home %s: it is a part of the system", spec.Home), "unset CLAUDE_BOTTLE_CONTAINER_HOME, or name a directory such as /home/me")
		}
	}
	return nil
}

func chooseName(slug string, seen observed) (string, error) {
	if seen.Pinned != "" {
		if !validName(seen.Pinned) {
			return "", hint.With(fmt.Errorf("CLAUDE_BOTTLE_CONTAINER: %q is no name for a bottle", seen.Pinned),
				"unset it, or take letters, digits, dots, dashes and underscores")
		}
		if seen.Names[seen.Pinned] {
			return "", errPinned(seen.Pinned)
		}
		return seen.Pinned, nil
	}
	for n := 1; n <= platform.LastSuffix; n++ {
		if name := platform.BottleName(slug, n); !seen.Names[name] {
			return name, nil
		}
	}
	return "", errNames(slug)
}

// validName says whether a name can be a file's and an engine's: so that one
// variable serves both platforms, the rule is that of container names.
func validName(name string) bool {
	for i, r := range name {
		word := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !word && (i == 0 || !strings.ContainsRune("._-", r)) {
			return false
		}
	}
	return name != "" && len(name) <= 128
}

func errPinned(name string) error {
	return hint.With(fmt.Errorf("bottle %s already exists (pinned by CLAUDE_BOTTLE_CONTAINER)", name),
		"claude-bottle stop "+name+", or unset CLAUDE_BOTTLE_CONTAINER")
}

func errNames(slug string) error {
	return hint.With(fmt.Errorf("no free name: %s to %s are all taken",
		platform.BottleName(slug, 1), platform.BottleName(slug, platform.LastSuffix)), "claude-bottle ps, and stop some")
}

// addHarness makes the agent's program seen inside, where it is not already.
func addHarness(part *bottle.NativePlan, harness program, closed string) {
	if harness.Path == "" || closed != "" {
		return
	}
	part.Harness = harness.Path
	if slices.ContainsFunc(part.Mounts, func(m bottle.NativeMount) bool { return within(harness.Path, m.Source) }) {
		return
	}
	target := path.Join(harnessDir, filepath.Base(harness.Dir))
	inside := target
	if rest, ok := strings.CutPrefix(harness.Path, harness.Dir+"/"); ok {
		inside = path.Join(target, rest)
	}
	part.Mounts = append(slices.Clone(part.Mounts), bottle.NativeMount{Source: harness.Dir, Target: target})
	part.Agent = []bottle.HostMount{
		{Source: harness.Dir, Target: target, File: harness.DirFile, For: "harness"},
		{Source: harness.Path, Target: inside, File: harness.PathFile, For: "harness"},
	}
	part.Links = append(slices.Clone(part.Links), bottle.NativeLink{Name: path.Join(harnessBin, harness.Name), Target: inside})
	part.Path = harnessBin + ":" + part.Path
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
