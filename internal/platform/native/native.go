// Package native runs bottles as Linux namespaces around the host's own
// programs: no daemon, no root, no image. Three of our processes and
// bubblewrap make one:
//
//	launcher -> supervise -> inside -> bwrap -> guest
//
// The launcher starts `claude-bottle supervise`, and meanwhile writes what the
// bottle starts with into the run's directory. Supervise starts `claude-bottle
// inside` in a user, a network and a process namespace of its own, and goes on,
// the same process, as the gateway (`supervise gateway`), which ends with its
// standard input. Inside opens the gateway's ways in there, hands them out
// (package handover), gives up what let it do so, and becomes bubblewrap. The
// guest is process 1 of what bubblewrap makes; its standard streams are the
// launcher's boot stream. The kernel kills inside, and what it became, when
// supervise ends, and with it all that is in its process namespace.
//
// No process of a bottle has the host's uid 0: started as root, all but the
// launcher run under the agent's uid, from before any namespace is made, since
// uid 0 of the host writes /proc/sys/kernel/core_pattern also without any
// capability (TestNoSettingIsWritable).
package native

import (
	"io"
	"sync/atomic"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/workspace"
)

// Name is the platform's, as --platform and CLAUDE_BOTTLE_PLATFORM take it.
const Name = "native"

// Config is what a Platform needs from its surroundings.
type Config struct {
	Store *runs.Store
	// Getenv reads the launcher's environment: where programs are, the locale,
	// the overrides.
	Getenv func(string) string
	// Home is the person's home directory.
	Home string
	// UID is the launcher's own.
	UID int
	// Binary is the program that becomes supervisor and guest; empty means the
	// one that is running.
	Binary string
	// Environ is the launcher's environment as a whole, for npm.
	Environ []string
	// Progress takes what npm prints; nil discards it.
	Progress io.Writer
	// Copying is told, now and then, how much of a project was copied so far;
	// Copied, what the copy came to. Both may be nil.
	Copying func(files, bytes int64)
	Copied  func(workspace.Report)
}

// Platform is bottles as namespaces of this machine.
type Platform struct {
	config Config
	// breach is what a test opens on purpose, to see the probe find it.
	breach breach
	warmed atomic.Pointer[warm] // see Warm
}

var _ bottle.Platform = (*Platform)(nil)

// New makes a Platform.
func New(config Config) *Platform { return &Platform{config: config} }

// Name is "native".
func (p *Platform) Name() string { return Name }
