//go:build linux

package attacks

import "strings"

// Declaration is a result that is not "stopped", at one place, and why that is
// as it has to be.
type Declaration struct {
	ID      string
	Place   string // the beginning of its name; empty for all
	Outcome Outcome
	Why     string
}

// declared is the whole list.
var declared = []Declaration{
	{"kernel/login", "docker runc", Through, "an engine starts containers without a login id, and Linux lets a process choose one, once: a number in the host's audit log"},
	{"processes/guest-positions", GVisor, Through, "gVisor shows flags and positions, and nothing of what is behind them"},
	{"files/devices", GVisor, Through, "/dev/fuse is a device of gVisor's own kernel, which lets nobody mount what it serves"},
	{"rights/limits", GVisor, Through, "the priority is one among gVisor's own tasks, and none of the host's"},
}

// Places of declarations, as the suite names them, or their beginnings.
const (
	GVisor = "docker gVisor"
)

// Declared is what is declared of an attack at a place.
func Declared(id, place string) (Declaration, bool) {
	for _, d := range declared {
		if d.ID == id && strings.HasPrefix(place, d.Place) {
			return d, true
		}
	}
	return Declaration{}, false
}
