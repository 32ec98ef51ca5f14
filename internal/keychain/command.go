package keychain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode"

	"claude-bottle/internal/scan"
)

// commandTime is how long a program may take: a person may have to unlock
// something.
const commandTime = 2 * time.Minute

var (
	errNoCommand = errors.New("the command is empty")
	errSlow      = errors.New("it took longer than two minutes")
)

// Command runs a program and returns what it prints, without the line end
// behind it: `pass show x`, `op read x`, `gh auth token`. argv is run as it
// is, by no shell, in dir, with the launcher's environment and without standard
// input.
//
// Only home's manifest may name a command: a project's is somebody else's
// (TestBrokeredSecretsAreGuarded). Whoever calls this has checked that.
func Command(ctx context.Context, dir string, argv []string) (string, error) {
	if len(argv) == 0 || argv[0] == "" {
		return "", errNoCommand
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	out, said := newBounded(maxSecret+2), newBounded(4<<10)
	defer out.wipe()
	defer said.wipe()
	cmd.Stdout, cmd.Stderr = out, said
	// All that the program started ends with it, also when the time is over.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", fmt.Errorf("run %s: %w", argv[0], errSlow)
	case ctx.Err() != nil:
		return "", fmt.Errorf("run %s: %w", argv[0], ctx.Err())
	case err != nil:
		return "", fmt.Errorf("run %s: %w%s", argv[0], err, lastLine(said.text, out.text))
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(out.text), "\n"), "\r")
	if err := check(secret); err != nil {
		return "", fmt.Errorf("run %s: %w", argv[0], err)
	}
	return secret, nil
}

// bounded keeps the first bytes of what a program says, and takes the rest, so
// that one which says too much ends as it would. It reads by itself, into memory
// of one size that is overwritten in the end: buffers of others, and those that
// one which grows leaves behind, would keep the secret.
type bounded struct{ text []byte } // its capacity is the bound

func newBounded(most int) *bounded { return &bounded{make([]byte, 0, most)} }

func (b *bounded) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), cap(b.text)-len(b.text))]...)
	return len(p), nil
}

// ReadFrom is what io.Copy uses instead of a buffer of its own.
func (b *bounded) ReadFrom(r io.Reader) (int64, error) {
	spill := make([]byte, 4<<10)
	defer clear(spill)
	for read := int64(0); ; {
		room := b.text[len(b.text):cap(b.text)]
		full := len(room) == 0
		if full {
			room = spill
		}
		n, err := r.Read(room)
		read += int64(n)
		if !full {
			b.text = b.text[:len(b.text)+n]
		}
		switch {
		case errors.Is(err, io.EOF):
			return read, nil
		case err != nil:
			return read, err
		}
	}
}

func (b *bounded) wipe() { clear(b.text[:cap(b.text)]) }

// lastLine is what a program said at last, in a form that can be printed, unless
// it holds what may be the secret: what the program has printed already, or
// what has the form of a credential.
func lastLine(said, printed []byte) string {
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	line := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(lines[len(lines)-1], "?"))
	switch {
	case line == "":
		return ""
	case tells(line, printed):
		return ": (what it said is not shown: it may hold the secret)"
	}
	const most = 200
	if runes := []rune(line); len(runes) > most {
		line = string(runes[:most]) + "..."
	}
	return ": " + line
}

// tells says whether a line may hold a secret.
func tells(line string, printed []byte) bool {
	o := scan.Options{Rows: scan.Table()}
	for piece := range bytes.FieldsSeq(printed) {
		if len(piece) >= scan.MinValue && len(o.Values) < 16 {
			o.Values = append(o.Values, scan.Value{Kind: scan.Secret, Bytes: bytes.Clone(piece)})
		}
	}
	s, err := scan.New(o)
	if err != nil {
		return true
	}
	stream := s.Stream()
	found := len(stream.Write([]byte(line))) > 0
	return len(stream.Close()) > 0 || found
}
