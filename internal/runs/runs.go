// Package runs is the store of runs: their ids, directories, ledgers and
// locks. It knows no platform and starts nothing; it remembers, across a
// crash at any point, what a run made and where its work is.
package runs

import (
	"time"
)

// ID names a run: lower-case letters and digits, sortable by start, unique in
// its store and safe as a file name and an engine label.
type ID string

// State is a run's place in its life.
type State string

// A run is Launching until its harness may start, Running until it is closed,
// then Stopped: only work, git and record are left.
const (
	Launching State = "launching"
	Running   State = "running"
	Stopped   State = "stopped"
	// Damaged is a run whose ledger cannot be read; its work may be whole.
	Damaged State = "damaged"
)

// Kind is what a recorded resource is; the platform gives it meaning.
type Kind string

// Resource is one thing outside the run's directory that the run made or is
// about to make.
type Resource struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
}

// Info is the head of a ledger, plain values.
type Info struct {
	ID       ID        `json:"id"`
	Name     string    `json:"name"` // of the bottle: claude-bottle-SLUG[-N]; changes with the suffix
	Agent    string    `json:"agent"`
	Bottle   string    `json:"bottle"`
	Platform string    `json:"platform"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	State    State     `json:"state"`
	Cwd      string    `json:"cwd,omitempty"` // the directory that was copied in
	Dir      string    `json:"dir,omitempty"` // the one it was started in, whose manifest it has
	ExitCode *int      `json:"exitCode,omitempty"`
	// Manifest is the hash of the manifest files it was launched from.
	Manifest string `json:"manifest,omitempty"`
	Place
	// Isolation is what the launch's probe found, in one line.
	Isolation string `json:"isolation,omitempty"`
	// Problem says why a Damaged run is one; no ledger holds it.
	Problem string `json:"problem,omitempty"`
}

// Place is where a platform made the resources of a run, so that another
// process finds them again.
type Place struct {
	// Endpoint is an engine's address.
	Endpoint string `json:"endpoint,omitempty"`
	// Engine is which engine answered there, in the platform's words: another
	// one at the same address has nothing of the run.
	Engine string `json:"engine,omitempty"`
}
