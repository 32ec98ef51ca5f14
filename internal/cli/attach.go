package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/wire"
)

// attachment says how a process inside meets the person's streams.
type attachment struct {
	// terminal gives the process a terminal, and puts the person's into raw
	// mode: every key is the process's, Ctrl-C too.
	terminal bool
	// input passes standard input on.
	input   bool
	signals <-chan os.Signal
}

// attach runs one process in b to its end. Where the person sees a terminal,
// what the process prints passes the filter; elsewhere its bytes are left
// alone.
func (a *App) attach(ctx context.Context, b bottle.Bottle, start wire.Start, at attachment) (wire.Exit, error) {
	streams := wire.Streams{Stdout: filtered(a.Out), Stderr: filtered(a.Err), Signals: at.signals}
	if at.input {
		streams.Stdin = a.input
	}
	if at.terminal {
		raw, err := a.raw()
		if err != nil {
			return wire.Exit{}, fmt.Errorf("prepare the terminal: %w", err)
		}
		defer raw.restore()
		start.Terminal, start.Size = true, raw.size
		start.Env = append(start.Env, a.terminalEnv()...)
		streams.Resize = raw.resize
	}
	watched, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-b.Lost():
			a.sayLost(b, done)
		case <-done:
		}
	}()
	defer func() { <-watched }()
	defer close(done)
	return b.Exec(ctx, start, streams)
}

// lostGrace is how long the loss of the whole bottle takes to end what runs in
// it.
const lostGrace = 500 * time.Millisecond

// sayLost tells at once that the bottle has lost its gateway: an agent that
// meets only timeouts would be hard to understand. The loss of the guest ends
// the process, with an error that says so. The line begins and ends with a
// carriage return, since the terminal may be raw.
func (a *App) sayLost(b bottle.Bottle, done <-chan struct{}) {
	grace := time.NewTimer(lostGrace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		fmt.Fprintf(a.Err, "\r\nwarning: the bottle has no network any more: %s\r\n", escape(fmt.Sprint(b.Err())))
	}
}

// terminalEnv tells a process inside what the person's terminal can do.
func (a *App) terminalEnv() []string {
	env := []string{"TERM=xterm"}
	for _, name := range []string{"TERM", "COLORTERM"} {
		if value := a.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}
