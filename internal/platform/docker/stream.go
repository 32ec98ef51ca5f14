package docker

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"

	"github.com/moby/moby/client"
)

// tailBytes is how much of a container's standard error is kept for errors.
const tailBytes = 4 << 10

// stream is the standard streams of a container or of an exec without a
// terminal: Read gives standard output, Write goes to standard input, the end
// of standard error is kept. Closing it ends the engine's connection.
type stream struct {
	hijacked client.HijackedResponse
	in       *bufio.Reader
	left     int // of the current frame of standard output; only Read uses it
	// refusal says that the first bytes of standard output may be the
	// engine's own: why it could not start the command.
	refusal bool

	mu   sync.Mutex // guards tail
	tail []byte
}

var _ io.ReadWriteCloser = (*stream)(nil)

func newStream(hijacked client.HijackedResponse) *stream {
	return &stream{hijacked: hijacked, in: hijacked.Reader}
}

// Frames of the engine's raw stream, Engine API "Attach to a container": one
// byte says which stream, three are zero, four are the length, big-endian.
const (
	frameHeader = 8
	frameStdout = 1
	frameStderr = 2
)

// Read returns standard output.
func (s *stream) Read(p []byte) (int, error) {
	for s.left == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n, err := s.in.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// next reads up to the next frame of standard output.
func (s *stream) next() error {
	var header [frameHeader]byte
	if _, err := io.ReadFull(s.in, header[:]); err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint32(header[4:]))
	switch header[0] {
	case frameStdout:
		s.left = size
		return s.refused()
	case frameStderr:
		return s.keep(size)
	}
	return fmt.Errorf("the engine sent a frame of unknown stream %d", header[0])
}

// refused returns the engine's refusal, which it says where the command's
// output should be, as an error: "OCI runtime exec failed: …", "cannot exec in
// a stopped state". What a command of ours says begins with a frame's kind,
// and no kind is a letter.
func (s *stream) refused() error {
	if !s.refusal || s.left == 0 {
		return nil
	}
	s.refusal = false
	begin, err := s.in.Peek(1)
	if err != nil || !unicode.IsLetter(rune(begin[0])) {
		return nil
	}
	text := make([]byte, min(s.left, tailBytes))
	n, _ := io.ReadFull(s.in, text)
	return fmt.Errorf("the engine could not start the command: %s", plain(strings.TrimSpace(string(text[:n]))))
}

// keep reads a frame of standard error into the tail.
func (s *stream) keep(size int) error {
	var buffer [1 << 10]byte
	for size > 0 {
		n, err := s.in.Read(buffer[:min(len(buffer), size)])
		s.mu.Lock()
		s.tail = append(s.tail, buffer[:n]...)
		s.tail = s.tail[max(0, len(s.tail)-tailBytes):]
		s.mu.Unlock()
		if err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// Write goes to standard input.
func (s *stream) Write(p []byte) (int, error) { return s.hijacked.Conn.Write(p) }

// Close ends Read and Write that are under way.
func (s *stream) Close() error { return s.hijacked.Conn.Close() }

// last is the end of what was written to standard error.
func (s *stream) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(string(s.tail))
}

// attach connects to a container's standard streams; before its start, so
// that nothing it says is missed.
func (e *engine) attach(ctx context.Context, call, id string) (*stream, error) {
	result, err := ask(ctx, call, callLimit, func(ctx context.Context) (client.ContainerAttachResult, error) {
		return e.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	})
	if err != nil {
		return nil, fmt.Errorf("attach to container %s: %w", id, err)
	}
	return newStream(result.HijackedResponse), nil
}

// exec starts a command in a container, as another user and without a
// terminal, and connects to its standard streams.
func (e *engine) exec(ctx context.Context, id, user string, command ...string) (*stream, error) {
	created, err := ask(ctx, "exec-create", callLimit, func(ctx context.Context) (client.ExecCreateResult, error) {
		return e.ExecCreate(ctx, id, client.ExecCreateOptions{
			// The agent's own directories are closed to that user.
			User: user, Cmd: command, WorkingDir: "/", AttachStdin: true, AttachStdout: true, AttachStderr: true,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("exec in container %s: %w", id, err)
	}
	result, err := ask(ctx, "exec-attach", callLimit, func(ctx context.Context) (client.ExecAttachResult, error) {
		return e.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	})
	if err != nil {
		return nil, fmt.Errorf("exec in container %s: %w", id, err)
	}
	s := newStream(result.HijackedResponse)
	s.refusal = true
	return s, nil
}
