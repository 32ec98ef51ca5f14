// Package hoststate compares a machine before and after: the engine's
// containers, networks, volumes and images, processes, mounts, namespaces,
// interfaces, packet filter rules, cgroups, and files. A test observes, does
// something, and wants nothing to have stayed.
//
// An engine may be shared with others, whose objects come and go. Alone, an
// Observer counts everything of the engine. Beside others it counts what is
// ours by evidence, collected from the engine's own events from the beginning,
// so that what was lost sight of later is still known: the owner's label, or
// one of the marks (the state directory, the agent's name) anywhere in what
// the engine tells of an object, and the ids of all of these. It also counts
// what belongs to the engine and to no object that it knows (a rule of a
// bridge that is gone, a layer mounted for nobody): nobody else will remove
// that either. What differs only for a moment is passed over.
package hoststate

import (
	"slices"
	"strings"
)

// State is what was observed: one line a thing, its kind first, sorted. Two
// things may have one line.
type State []string

// Of returns the lines of the given kinds.
func (s State) Of(kinds ...string) State {
	var chosen State
	for _, line := range s {
		kind, _, _ := strings.Cut(line, " ")
		if slices.Contains(kinds, kind) {
			chosen = append(chosen, line)
		}
	}
	return chosen
}

// Without returns the lines of all but the given kinds.
func (s State) Without(kinds ...string) State {
	var chosen State
	for _, line := range s {
		kind, _, _ := strings.Cut(line, " ")
		if !slices.Contains(kinds, kind) {
			chosen = append(chosen, line)
		}
	}
	return chosen
}

// Diff says what came ("+ ") and what went ("- "), a line each; empty when
// nothing did.
func Diff(before, after State) string {
	return strings.Join(diff(before, after), "\n")
}

func diff(before, after State) []string {
	count := map[string]int{}
	for _, line := range before {
		count[line]--
	}
	for _, line := range after {
		count[line]++
	}
	var lines []string
	for line, n := range count {
		for range n {
			lines = append(lines, "+ "+line)
		}
		for range -n {
			lines = append(lines, "- "+line)
		}
	}
	slices.Sort(lines)
	return lines
}

// common are the lines that both have.
func common(a, b []string) []string {
	count := map[string]int{}
	for _, line := range a {
		count[line]++
	}
	var both []string
	for _, line := range b {
		if count[line] > 0 {
			count[line]--
			both = append(both, line)
		}
	}
	return both
}
