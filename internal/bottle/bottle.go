// Package bottle is what every platform has in common: what is to be launched
// (Spec), what that will do (Plan), the contract of a platform, the steps of a
// launch that are the same everywhere, and the sweeping up after a crash. It
// imports no platform.
package bottle

import (
	"context"
	"errors"
	"io"
	"time"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// ErrElsewhere is what a run left being out of reach: another engine answers
// where its own did.
var ErrElsewhere = errors.New("another engine has what the run left")

// Platform is a place where bottles run.
type Platform interface {
	Name() string
	// Prepare observes the platform, then resolves spec into a Plan. It
	// creates nothing. What the platform cannot honour it refuses here, by
	// name.
	Prepare(ctx context.Context, spec Spec) (Plan, error)
	// Launch does what plan says, all or nothing: on an error everything it
	// made is gone again. Name and subnet of the plan are proposals; the
	// returned bottle says what they became.
	Launch(ctx context.Context, plan Plan, secrets environ.Secrets) (Bottle, error)
	// Open returns a bottle that is running, to run more in it. Closing it
	// ends the bottle, whoever launched it.
	Open(ctx context.Context, run runs.ID) (Bottle, error)
	// List finds the owner's bottles by what the platform itself keeps of them,
	// those whose ledger is lost included.
	List(ctx context.Context) ([]Status, error)
	// Remove removes everything a run left on the platform. What is missing
	// already is success; ErrElsewhere is when that cannot be known.
	Remove(ctx context.Context, run runs.ID) error
}

// Bottle is one running sandbox.
type Bottle interface {
	Run() runs.ID
	Name() string
	// Exec runs one process inside, to its end. The error is the bottle's
	// (it died, the stream broke), never the process's.
	Exec(ctx context.Context, start wire.Start, streams wire.Streams) (wire.Exit, error)
	// Control opens a control stream to the gateway (wire.ControlClient), one
	// conversation long. It leads past everything that the bottle can reach.
	Control(ctx context.Context) (io.ReadWriteCloser, error)
	// Lost is closed when the bottle can no longer work: its gateway or its
	// guest ended. Err then says which, with its last output.
	Lost() <-chan struct{}
	Err() error
	// Close removes everything but work, git and record. It is idempotent,
	// has its own deadline, which on docker begins when others that start or
	// end at the same instant leave it a turn, goes on past an error in one
	// step and reports what it could not remove.
	Close() error
}

// Status is one bottle as the platform sees it.
type Status struct {
	Run     runs.ID   `json:"run"`
	Name    string    `json:"name"`
	Agent   string    `json:"agent"`
	Started time.Time `json:"started"`
	// Running is false for remains: a part of the run exists, the bottle does not.
	Running bool `json:"running"`
}
