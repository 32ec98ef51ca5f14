// Package cli is the command line: one file a command, each an options
// struct, a constructor and a run function. It wires the platforms, and it is
// the only place where errors become exit codes and hints are printed.
//
// Nothing here is global: a command gets its streams, its surroundings and
// the platforms from the [App] it was constructed with, so a test can run any
// of them in its own process.
package cli

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"claude-bottle/internal/beside"
	"claude-bottle/internal/parts"
	"claude-bottle/internal/platform/docker"
	"claude-bottle/internal/platform/native"
	"claude-bottle/internal/term"
)

// Streams are the person's, or a script's.
type Streams = term.Streams

// Env is what a command may know of the process around it.
type Env struct {
	// Lookup reads an environment variable.
	Lookup func(name string) (string, bool)
	// Dir gives the working directory.
	Dir func() (string, error)
	// UID and GID are the real ones of the process.
	UID, GID int
	// Now is the clock.
	Now func() time.Time
	// Signals begins to catch SIGINT, SIGTERM and SIGHUP, and to survive
	// SIGPIPE; stop gives them back their usual effect.
	Signals func() (caught <-chan os.Signal, stop func())
	// Exit ends the process at once.
	Exit func(code int)
	// Version is what the linker said, empty for a build from a checkout.
	Version string
	// Platforms are the places where bottles run, by name, and
	// DefaultPlatform is the one that is taken when nobody says.
	Platforms       map[string]NewPlatform
	DefaultPlatform string
	// Preferred are those that are tried in its place before a launch, in
	// order: the first that is ready is taken. Empty for DefaultPlatform alone.
	Preferred []string
}

// Process is the Env of the running process, which exit ends.
func Process(version string, exit func(code int)) Env {
	return Env{
		Lookup: os.LookupEnv,
		Dir:    os.Getwd,
		UID:    os.Getuid(),
		GID:    os.Getgid(),
		Now:    time.Now,
		Signals: func() (<-chan os.Signal, func()) {
			caught := make(chan os.Signal, 4)
			signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM)
			if !signal.Ignored(syscall.SIGHUP) { // as nohup(1) asks
				signal.Notify(caught, syscall.SIGHUP)
			}
			// Nobody reads these: a reader of our output that goes away (head)
			// must not end us before the bottle is closed.
			broken := make(chan os.Signal, 1)
			signal.Notify(broken, syscall.SIGPIPE)
			return caught, func() {
				signal.Stop(caught)
				signal.Stop(broken)
			}
		},
		Exit:            exit,
		Version:         version,
		Platforms:       map[string]NewPlatform{docker.Name: newDocker, native.Name: newNative},
		DefaultPlatform: docker.Name,
		Preferred:       []string{docker.Name, native.Name},
	}
}

// App is what every command is constructed with.
type App struct {
	Streams
	Env
	// input is In, shared by questions and by what runs inside: a line that
	// one did not take is there for the other.
	input *term.Input
	// progress is what is under way, on Err.
	progress *term.Progress
	// renewing says whether the login is being renewed; nil for never.
	renewing func() bool
	// raw is the terminal's mode while something inside has the terminal.
	raw atomic.Pointer[term.Mode]
}

// Getenv returns the value of a variable, empty when it is not set.
func (a *App) Getenv(name string) string {
	value, _ := a.Lookup(name)
	return value
}

// Main runs one command line, without the program's name, and returns its
// exit code. Errors have been printed.
func Main(ctx context.Context, args []string, streams Streams, env Env) (code int) {
	app := &App{Streams: streams, Env: env}
	if served, ok := beside.Serve(ctx, parts.Process{In: streams.In, Out: streams.Out, Err: streams.Err}, args); ok {
		return served
	}
	defer app.recoverTo(&code)
	app.input = term.NewInput(streams.In)
	defer app.input.Close()
	app.progress = term.NewProgress(streams.Err, app.Getenv)
	root := newRoot(app)
	root.SetArgs(args)
	return app.exit(root.ExecuteContext(ctx))
}
