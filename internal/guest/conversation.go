//go:build linux

package guest

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"claude-bottle/internal/wire"
)

// conversation runs processes for one launcher, one after the other.
type conversation struct {
	guest *guest
	conn  *wire.Conn
	boot  bool // it is the boot stream's, which may ask for secrets
	last  bool // everything inside ends with it, so nothing is hung up

	mu      sync.Mutex // guards process
	process *process   // nil between two
}

// serve answers frames until the stream ends, and hangs up what runs then.
func (v *conversation) serve() error {
	err := v.read()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		_ = v.conn.WriteError(err)
	}
	_ = v.conn.Close()
	if p := v.current(); p != nil && !v.last {
		p.hangUp()
	}
	return err
}

func (v *conversation) read() error {
	for {
		f, err := v.conn.Read()
		if err != nil {
			return err
		}
		if err := v.handle(f); err != nil {
			return err
		}
	}
}

// handle never waits for a process, so that signals come through.
func (v *conversation) handle(f wire.Frame) error {
	p := v.current()
	switch f.Kind { //nolint:exhaustive // the others are about a process
	case wire.KindProbe:
		return v.probe(f)
	case wire.KindStart:
		if p != nil {
			return fmt.Errorf("%w: a start while a process runs", wire.ErrProtocol)
		}
		var start wire.Start
		if err := f.Decode(&start); err != nil {
			return err
		}
		return v.start(start)
	}
	return about(p, f)
}

// about handles a frame about p. What was sent before its exit had arrived at
// the launcher finds no process, and means nothing.
func about(p *process, f wire.Frame) error {
	switch f.Kind {
	case wire.KindStdin, wire.KindStdinEOF, wire.KindResize, wire.KindSignal, wire.KindCloseOutput:
		if p == nil {
			return nil
		}
	}
	switch f.Kind {
	case wire.KindStdin:
		return p.stdin.push(f.Payload)
	case wire.KindStdinEOF:
		p.stdin.end()
	case wire.KindResize:
		var size wire.Size
		if err := f.Decode(&size); err != nil {
			return err
		}
		p.resize(size)
	case wire.KindSignal:
		signal, ok := wire.SignalNamed(string(f.Payload))
		if !ok {
			return fmt.Errorf("%w: unknown signal %q", wire.ErrProtocol, f.Payload)
		}
		p.signal(signal)
	case wire.KindCloseOutput:
		if len(f.Payload) == 1 {
			if o := p.outputs[wire.Kind(f.Payload[0])]; o != nil {
				o.refuse()
			}
		}
	default:
		return fmt.Errorf("%w: unexpected %v frame", wire.ErrProtocol, f.Kind)
	}
	return nil
}

func (v *conversation) start(start wire.Start) error {
	p, err := v.guest.start(v.conn, start, v.boot)
	var refused refusal
	if errors.As(err, &refused) {
		return v.conn.WriteJSON(wire.KindExit, wire.Exit{Code: refused.code, Message: refused.Error()})
	}
	if err != nil {
		return err
	}
	v.set(p)
	go func() {
		exit := p.wait()
		// Before the frame is sent: the next start may follow at once.
		v.set(nil)
		_ = v.conn.WriteJSON(wire.KindExit, exit)
	}()
	return nil
}

func (v *conversation) current() *process {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.process
}

func (v *conversation) set(p *process) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.process = p
}
