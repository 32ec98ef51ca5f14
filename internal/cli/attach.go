package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/term"
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
	// heard gets what the process says on standard output too; nil for nobody.
	heard io.Writer
	// leave, if it is not nil, is called at Ctrl-C, which the process gets too.
	leave func()
}

// leaving is an input in which Ctrl-C is looked for.
type leaving struct {
	*term.Input
	leave func()
}

// ReadContext is the input's. A terminal that tells keys apart says Ctrl-C in a
// sequence.
func (l leaving) ReadContext(ctx context.Context, p []byte) (int, error) {
	n, err := l.Input.ReadContext(ctx, p)
	if bytes.IndexByte(p[:n], ctrlC) >= 0 || bytes.Contains(p[:n], []byte("\x1b[99;5u")) {
		l.leave()
	}
	return n, err
}

// Read is ReadContext without an end.
func (l leaving) Read(p []byte) (int, error) { return l.ReadContext(context.Background(), p) }

const ctrlC = 0x03

// attach runs one process in b to its end.
func (a *App) attach(ctx context.Context, b bottle.Bottle, start wire.Start, at attachment) (exit wire.Exit, err error) {
	stdout, closeStdout := a.filtered(a.Out)
	stderr, closeStderr := a.filtered(a.Err)
	out, errs := &leavable{Writer: stdout}, &leavable{Writer: stderr}
	streams := wire.Streams{Stdout: out, Stderr: errs, Signals: at.signals}
	if at.heard != nil {
		streams.Stdout = io.MultiWriter(out, at.heard)
	}
	if at.input {
		streams.Stdin = a.input
	}
	if at.input && at.leave != nil {
		streams.Stdin = leaving{a.input, at.leave}
	}
	if at.terminal {
		mode, err := term.Raw(a.In)
		if err != nil {
			return wire.Exit{}, err
		}
		a.raw.Store(mode)
		defer func() { _ = mode.Restore() }()
		resizes, stop := context.WithCancel(ctx)
		defer stop()
		start.Terminal, start.Size = true, term.SizeOf(a.Out)
		start.Env = append(start.Env, a.terminalEnv()...)
		streams.Resize = term.Sizes(resizes, a.Out)
	}
	// Before the terminal's mode is restored: what the process left switched
	// on is switched off, whatever ends this.
	defer func() { err = errors.Join(err, closeStdout(), closeStderr()) }()
	defer a.watch(b, at.terminal)()
	exit, err = b.Exec(ctx, start, streams)
	if ctx.Err() == nil && errors.Is(err, syscall.EPIPE) && (out.left.Load() || errs.left.Load()) {
		// The process was told, as by any pipe; what it made of that counts.
		return exit, nil
	}
	return exit, err
}

// leavable is a stream whose reader may go away, as head does.
type leavable struct {
	io.Writer
	left atomic.Bool
}

func (l *leavable) Write(p []byte) (int, error) {
	n, err := l.Writer.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		l.left.Store(true)
	}
	return n, err
}

// filtered is the way from a process inside to a stream of the person's.
// Where that is a terminal it passes the filter; elsewhere every byte is left
// as it is.
func (a *App) filtered(stream io.Writer) (through io.Writer, closing func() error) {
	if !term.IsTerminal(stream) {
		return stream, func() error { return nil }
	}
	filter := term.NewFilter(stream, term.SpeaksUTF8(a.Getenv))
	return filter, filter.Close
}

// lostGrace is how long the loss of the whole bottle takes to end what runs in
// it.
const lostGrace = 500 * time.Millisecond

// watch tells at once when the bottle has lost its gateway: an agent that
// meets only timeouts would be hard to understand. The loss of the guest ends
// the process, with an error that says so. A raw terminal needs a carriage
// return to begin a line. stop ends the watching.
func (a *App) watch(b bottle.Bottle, raw bool) (stop func()) {
	format := "warning: the bottle has no network any more: %s\n"
	if raw {
		format = "\r\nwarning: the bottle has no network any more: %s\r\n"
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-b.Lost():
		case <-done:
			return
		}
		grace := time.NewTimer(lostGrace)
		defer grace.Stop()
		select {
		case <-done:
		case <-grace.C:
			fmt.Fprintf(a.Err, format, term.Escape(fmt.Sprint(b.Err())))
		}
	}()
	return func() {
		close(done)
		<-ended
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
