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
	// Sometimes: on some machines it is stopped.
	Sometimes bool
}

// Holds says whether an outcome is one that was declared.
func (d Declaration) Holds(outcome Outcome) bool {
	return outcome == d.Outcome || d.Sometimes && outcome == Stopped
}

// declared is the whole list.
var declared = []Declaration{
	{ID: "kernel/login", Place: "docker runc", Outcome: Through, Why: "an engine starts containers without a login id, and Linux lets a process choose one, once: a number in the host's audit log; one that a login gave stays", Sometimes: true},
	{ID: "rights/killed-first", Place: "", Outcome: Through, Why: "who raises a score without root's rights cannot keep it from being lowered again, to what the person's own programs have and no further"},
	{ID: "processes/guest-positions", Place: GVisor, Outcome: Through, Why: "gVisor shows flags and positions, and nothing of what is behind them"},
	{ID: "files/devices", Place: GVisor, Outcome: Through, Why: "/dev/fuse is a device of gVisor's own kernel, which lets nobody mount what it serves"},
	{ID: "rights/limits", Place: GVisor, Outcome: Through, Why: "the priority is one among gVisor's own tasks, and none of the host's"},
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
