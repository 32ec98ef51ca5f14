package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxMessage bounds Exit.Message, in bytes.
const maxMessage = 4 << 10

// execution is one process as the launcher sees it.
type execution struct {
	conn    *Conn
	streams Streams
	window  *window
	exited  chan struct{} // closed once exit is set
	exit    Exit
	refused chan Kind // outputs that the caller no longer takes

	mu     sync.Mutex // guards failed
	failed map[Kind]error
}

func newExecution(conn *Conn, streams Streams) *execution {
	return &execution{
		conn: conn, streams: streams, window: newWindow(),
		exited: make(chan struct{}), refused: make(chan Kind, 2), failed: map[Kind]error{},
	}
}

// receive takes one frame of the guest's.
func (p *execution) receive(f Frame) error {
	if isClosed(p.exited) {
		return fmt.Errorf("%w: %v frame after the exit", ErrProtocol, f.Kind)
	}
	switch f.Kind {
	case KindStdout:
		p.print(f, p.streams.Stdout)
	case KindStderr:
		p.print(f, p.streams.Stderr)
	case KindWindow:
		if len(f.Payload) != 4 {
			return fmt.Errorf("%w: %v frame of %d bytes", ErrProtocol, f.Kind, len(f.Payload))
		}
		return p.window.grant(binary.BigEndian.Uint32(f.Payload))
	case KindExit:
		return p.end(f)
	default:
		return fmt.Errorf("%w: %v frame while a process runs", ErrProtocol, f.Kind)
	}
	return nil
}

func (p *execution) end(f Frame) error {
	var exit Exit
	if err := f.Decode(&exit); err != nil {
		return err
	}
	if exit.Code < 0 || exit.Code > 255 || len(exit.Message) > maxMessage {
		return fmt.Errorf("%w: exit code %d with %d bytes of message", ErrProtocol, exit.Code, len(exit.Message))
	}
	exit.Message = Printable(exit.Message)
	p.exit = exit
	close(p.exited)
	return nil
}

// print writes output. When the caller's writer fails, the rest is dropped
// and the process told, as a pipe would tell it.
func (p *execution) print(f Frame, w io.Writer) {
	if w == nil {
		return
	}
	p.mu.Lock()
	failed := p.failed[f.Kind]
	p.mu.Unlock()
	if failed != nil {
		return
	}
	if _, err := w.Write(f.Payload); err != nil {
		p.mu.Lock()
		p.failed[f.Kind] = err
		p.mu.Unlock()
		p.refused <- f.Kind // never blocks: once for each output
	}
}

func (p *execution) outputError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := errors.Join(p.failed[KindStdout], p.failed[KindStderr]); err != nil {
		return fmt.Errorf("write what the process printed: %w", err)
	}
	return nil
}

// feed sends input as far as the guest takes it. An error of the reader's is
// the end of the input. A send that fails has closed the connection, which
// ends the Exec.
func (p *execution) feed(ctx context.Context, in ContextReader) {
	if in == nil {
		_ = p.conn.Write(KindStdinEOF, nil)
		return
	}
	buf := make([]byte, inputChunk)
	for {
		free := p.window.wait(ctx, len(buf))
		if free == 0 {
			return
		}
		n, err := in.ReadContext(ctx, buf[:free])
		if n > 0 {
			p.window.take(n)
			if p.conn.Write(KindStdin, buf[:n]) != nil {
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			_ = p.conn.Write(KindStdinEOF, nil)
			return
		}
	}
}

// control sends resizes, signals and refusals of output. A closed channel is
// one that nothing comes from.
func (p *execution) control(ctx context.Context) {
	resize, signals := p.streams.Resize, p.streams.Signals
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			err = p.conn.WriteJSON(KindResize, size)
		case signal, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			name, known := SignalName(signal)
			if !known {
				continue
			}
			err = p.conn.Write(KindSignal, []byte(name))
		case kind := <-p.refused:
			err = p.conn.Write(KindCloseOutput, []byte{byte(kind)})
		}
		if err != nil {
			return
		}
	}
}
