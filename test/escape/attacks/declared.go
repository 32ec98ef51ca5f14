//go:build linux

package attacks

import (
	"maps"
	"slices"
	"strings"
)

// Declaration is a result that is not "stopped", at one place, and why that is
// as it has to be.
type Declaration struct {
	ID      string
	Place   string // the beginning of its name; empty for all
	Outcome Outcome
	Why     string
	// Sometimes: on some machines it is stopped.
	Sometimes bool
}

// Holds says whether an outcome is one that was declared.
func (d Declaration) Holds(outcome Outcome) bool {
	return outcome == d.Outcome || d.Sometimes && outcome == Stopped
}

// declared are those of a bottle as it is by itself.
var declared = []Declaration{
	{ID: "kernel/login", Place: "docker runc", Outcome: Through, Why: "an engine starts containers without a login id, and Linux lets a process choose one, once: a number in the host's audit log; one that a login gave stays", Sometimes: true},
	{ID: "rights/killed-first", Place: "", Outcome: Through, Why: "who raises a score without root's rights cannot keep it from being lowered again, to what the person's own programs have and no further"},
	{ID: "processes/guest-positions", Place: GVisor, Outcome: Through, Why: "gVisor shows flags and positions, and nothing of what is behind them"},
	{ID: "processes/guest-settings", Place: GVisor, Outcome: Through, Why: "gVisor lets its user set its name, and its score among gVisor's own tasks"},
	{ID: "files/devices", Place: GVisor, Outcome: Through, Why: "/dev/fuse is a device of gVisor's own kernel, which lets nobody mount what it serves"},
	{ID: "rights/limits", Place: GVisor, Outcome: Through, Why: "the priority is one among gVisor's own tasks, and none of the host's"},
}

// within is what root of a namespace of its own may do, and why it is none of the
// host's.
var within = map[string]string{
	"rights/root":         "it is root of its own namespace, which is the bottle's user to all that is outside",
	"rights/capabilities": "it has them over what that namespace owns",
	"namespaces/user":     "nested allows it", "namespaces/others": "nested allows it", "namespaces/setns": "nested allows it",
	"mounts/new": "nested allows it, in a mount namespace of its own", "mounts/bind": "nested allows it, but for taking read-only away",
	"mounts/unmount": "the kernel looks at it, and says that what the bottle has mounted stays", "mounts/root": "nested allows it",
	"kernel/proc-sys":   "settings of the bottle's own IPC namespace, which TestNested names",
	"kernel/login":      "what it calls 0 is the bottle's user",
	"files/setuid-root": "what it calls root is the bottle's user",
	"files/attributes":  "capabilities of a file hold in its own namespace, which the kernel notes with them",
}

// declarations is the whole list.
func declarations() []Declaration {
	list := slices.Clone(declared)
	for _, id := range slices.Sorted(maps.Keys(within)) {
		list = append(list, Declaration{ID: id, Place: Within, Outcome: Through, Why: within[id]})
	}
	return list
}

// Places of declarations, as the suite names them, or their beginnings.
const (
	GVisor = "docker gVisor"
	// Within begins the names of places where attacks are made from a sandbox
	// within the bottle.
	Within = "nested"
)

// Declared is what is declared of an attack at a place.
func Declared(id, place string) (Declaration, bool) {
	for _, d := range declarations() {
		if d.ID == id && strings.HasPrefix(place, d.Place) {
			return d, true
		}
	}
	return Declaration{}, false
}
