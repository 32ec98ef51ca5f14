package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"claude-bottle/internal/wire"
)

// isTerminal says whether a stream is the person's terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// canAsk says whether there is somebody to ask: what is asked goes to standard
// error, what is answered comes from standard input.
func (a *App) canAsk() bool { return isTerminal(a.In) && isTerminal(a.Err) }

// interactive says whether a program inside should have a terminal.
func (a *App) interactive() bool { return isTerminal(a.In) && isTerminal(a.Out) }

// confirm asks a question that only y or yes agrees to. The end of input is
// no.
func (a *App) confirm(ctx context.Context, question string) (bool, error) {
	fmt.Fprintf(a.Err, "claude-bottle: %s [y/N] ", question)
	answer, err := a.readLine(ctx)
	if err != nil {
		fmt.Fprintln(a.Err)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// maxLine bounds an answer, in bytes.
const maxLine = 64 << 10

// readLine reads one line, without its end, and nothing after it: that is for
// whoever reads next.
func (a *App) readLine(ctx context.Context) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		n, err := a.input.ReadContext(ctx, one)
		if n > 0 && one[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, one[:n]...)
		if err != nil {
			return string(line), err
		}
		if len(line) > maxLine {
			return "", fmt.Errorf("an answer of more than %d bytes", maxLine)
		}
	}
}

// secretAsker is how a secret is asked for, or nil when there is nobody to
// ask.
func (a *App) secretAsker() func(ctx context.Context, name, message string) (string, error) {
	if !a.canAsk() {
		return nil
	}
	return a.askSecret
}

// askSecret asks for one value without showing it. The terminal echoes again
// when it returns, whatever happened.
func (a *App) askSecret(ctx context.Context, name, message string) (string, error) {
	if message == "" {
		message = name
	} else {
		message = fmt.Sprintf("%s (%s)", message, name)
	}
	fmt.Fprintf(a.Err, "claude-bottle: %s: ", message)
	defer fmt.Fprintln(a.Err) // the person's own newline was not echoed
	fd := int(a.In.(*os.File).Fd())
	before, err := unix.IoctlGetTermios(fd, ioctlGetTermios)
	if err != nil {
		return "", fmt.Errorf("hide what is typed: %w", err)
	}
	hidden := *before
	hidden.Lflag = hidden.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, ioctlSetTermios, &hidden); err != nil {
		return "", fmt.Errorf("hide what is typed: %w", err)
	}
	defer func() { _ = unix.IoctlSetTermios(fd, ioctlSetTermios, before) }()
	return a.readLine(ctx)
}

// rawTerminal is the person's terminal while it belongs to a process inside.
type rawTerminal struct {
	size    wire.Size
	resize  chan wire.Size
	restore func()
}

// raw hands the terminal over: every key goes inside, none makes a signal.
func (a *App) raw() (*rawTerminal, error) {
	in, out := int(a.In.(*os.File).Fd()), int(a.Out.(*os.File).Fd())
	size, err := sizeOf(out)
	if err != nil {
		return nil, err
	}
	before, err := term.MakeRaw(in)
	if err != nil {
		return nil, err
	}
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	t := &rawTerminal{size: size, resize: make(chan wire.Size)}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-changed:
			}
			size, err := sizeOf(out)
			if err != nil {
				continue
			}
			select {
			case t.resize <- size:
			case <-done:
				return
			}
		}
	}()
	t.restore = sync.OnceFunc(func() {
		signal.Stop(changed)
		close(done)
		<-ended
		_ = term.Restore(in, before)
	})
	return t, nil
}

func sizeOf(fd int) (wire.Size, error) {
	cols, rows, err := term.GetSize(fd)
	return wire.Size{Rows: uint16(rows), Cols: uint16(cols)}, err
}
