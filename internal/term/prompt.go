package term

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Errors of questions.
var (
	// ErrNoTerminal: there is nobody to ask.
	ErrNoTerminal = errors.New("no terminal to ask on")
	// ErrInterrupted: Ctrl-C was the answer.
	ErrInterrupted = errors.New("interrupted")
)

// Prompt asks a person.
type Prompt struct {
	In  *Input
	Out io.Writer // standard error, so that results stay clean
}

// maxLine bounds an answer, in bytes; a longer one is no answer.
const maxLine = 4 << 10

// toRead is the least time in which a person reads a question.
const toRead = 500 * time.Millisecond

// Settle gives a person time to read what was printed and forgets what was
// typed until then: it answers something else. A bottle may have asked for it,
// and have ended before it came (TestTypedAheadIsForgotten).
func (p *Prompt) Settle(ctx context.Context) error {
	reading := time.NewTimer(toRead)
	defer reading.Stop()
	select {
	case <-reading.C:
		p.In.Forget()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Confirm asks a question, printed with " [y/N] ", and returns true for y and
// yes in any case; every other answer is no, the end of the input too. What was
// typed before it was asked is no answer. Input beyond the answer's line is left
// for the next reader.
func (p *Prompt) Confirm(ctx context.Context, question string) (bool, error) {
	p.In.Forget()
	if _, err := fmt.Fprintf(p.Out, "%s [y/N] ", question); err != nil {
		return false, err
	}
	line, err := p.Line(ctx)
	if errors.Is(err, io.EOF) {
		_, err = fmt.Fprintln(p.Out)
		return false, err
	}
	if err != nil {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// Line reads up to the end of a line, which is not part of it. The error is
// io.EOF when there is nothing before the end of the input.
func (p *Prompt) Line(ctx context.Context) (string, error) {
	var line []byte
	var b [1]byte // one at a time: what follows is another reader's
	for {
		n, err := p.In.ReadContext(ctx, b[:])
		switch {
		case n > 0 && b[0] == '\n':
			return strings.TrimSuffix(string(line), "\r"), nil
		case n > 0 && len(line) < maxLine:
			line = append(line, b[0])
		case n > 0: // swallowed up to its end
		case errors.Is(err, io.EOF) && len(line) > 0:
			return string(line), nil
		case err != nil:
			return "", err
		}
	}
}

// keys that edit a secret.
const (
	keyInterrupt = 0x03
	keyEnd       = 0x04
	keyKill      = 0x15
)

// Secret asks for one line that is not shown. The message may come from a
// manifest: it is escaped. The terminal's settings are back when it returns,
// whatever ended it. Ctrl-C is ErrInterrupted; the end of input io.EOF.
func (p *Prompt) Secret(ctx context.Context, message string) (string, error) {
	return p.secret(ctx, message, 0)
}

// pasteGap is how soon the next line of something that is pasted comes.
const pasteGap = 100 * time.Millisecond

// Pasted is Secret for a token, which may have been cut into lines where it was
// copied from: what follows an end of line at once goes on with it, and no part
// is left for the shell.
func (p *Prompt) Pasted(ctx context.Context, message string) (string, error) {
	return p.secret(ctx, message, pasteGap)
}

// goesOn says whether more of a paste comes behind the end of a line, and its
// first byte.
func (p *Prompt) goesOn(ctx context.Context, gap time.Duration) (next byte, goesOn bool) {
	if gap == 0 {
		return 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, gap)
	defer cancel()
	var b [1]byte
	for {
		if n, err := p.In.ReadContext(ctx, b[:]); err != nil || n == 0 {
			return 0, false
		}
		if b[0] > ' ' {
			return b[0], true
		}
	}
}

func (p *Prompt) secret(ctx context.Context, message string, gap time.Duration) (_ string, err error) {
	if !IsTerminal(p.In) {
		return "", ErrNoTerminal
	}
	mode, err := silent(p.In)
	if err != nil {
		return "", err
	}
	defer func() {
		_, _ = fmt.Fprintln(p.Out)
		err = errors.Join(err, mode.Restore())
	}()
	if _, err := fmt.Fprintf(p.Out, "%s: ", Escape(message)); err != nil {
		return "", err
	}
	var line []byte
	defer func() { clear(line[:cap(line)]) }()
	line = make([]byte, 0, maxLine)
	for {
		var b [1]byte
		if _, err := p.In.ReadContext(ctx, b[:]); err != nil {
			return "", err
		}
		if b[0] == '\r' || b[0] == '\n' {
			next, goesOn := p.goesOn(ctx, gap)
			if !goesOn {
				return string(line), nil
			}
			line, b[0] = bytes.TrimRight(line, " \t"), next
		}
		switch {
		case b[0] == keyInterrupt:
			return "", ErrInterrupted
		case b[0] == keyEnd && len(line) == 0:
			return "", io.EOF
		case b[0] == keyKill:
			line = line[:0]
		case b[0] == '\b' || b[0] == del:
			_, size := utf8.DecodeLastRune(line)
			line = line[:len(line)-size]
		case len(line) == maxLine:
			return "", fmt.Errorf("the answer is longer than %d bytes", maxLine)
		case b[0] >= ' ':
			line = append(line, b[0])
		}
	}
}

// silent turns off echo, and the line editing and signals that come with it:
// Ctrl-C is then a byte, so that no signal can end the process in between.
func silent(in *Input) (*Mode, error) {
	var before *unix.Termios
	err := onDescriptor(in.file, func(fd int) (err error) {
		if before, err = unix.IoctlGetTermios(fd, getTermios); err != nil {
			return err
		}
		changed := *before
		changed.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		changed.Cc[unix.VMIN], changed.Cc[unix.VTIME] = 1, 0
		return unix.IoctlSetTermios(fd, setTermios, &changed)
	})
	if err != nil {
		return nil, fmt.Errorf("set up the terminal: %w", err)
	}
	return &Mode{restore: func() error {
		return onDescriptor(in.file, func(fd int) error { return unix.IoctlSetTermios(fd, setTermios, before) })
	}}, nil
}
