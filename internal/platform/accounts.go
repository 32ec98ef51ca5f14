package platform

import (
	"fmt"
	"strings"

	"claude-bottle/internal/bottle"
)

// person is the agent's name inside, as in the image that the existing tool
// uses.
const person = "node"

// Passwd and Group have an entry for each user that runs inside: many programs
// fail when their own uid has none. launcher is the uid that the launcher's
// conversations run under; 0 for none.
func Passwd(spec bottle.Spec, launcher int) string {
	lines := []string{
		"root:x:0:0:root:/root:/bin/sh",
		fmt.Sprintf("%s:x:%d:%d:%s:%s:/bin/bash", person, spec.UID, spec.GID, person, spec.Home),
	}
	if launcher != 0 {
		lines = append(lines, fmt.Sprintf("claude-bottle:x:%d:%d:launcher:/:/bin/false", launcher, launcher))
	}
	lines = append(lines, "nobody:x:65534:65534:nobody:/nonexistent:/bin/false")
	return strings.Join(lines, "\n") + "\n"
}

// Group is what Passwd is, for groups.
func Group(spec bottle.Spec, launcher int) string {
	lines := []string{"root:x:0:", fmt.Sprintf("%s:x:%d:", person, spec.GID)}
	if launcher != 0 {
		lines = append(lines, fmt.Sprintf("claude-bottle:x:%d:", launcher))
	}
	lines = append(lines, "nogroup:x:65534:")
	return strings.Join(lines, "\n") + "\n"
}
