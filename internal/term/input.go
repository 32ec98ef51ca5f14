package term

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// Input is the person's input, shared by questions and by what runs in a
// bottle: whoever reads takes what it asked for and no more, and gives up
// without losing anything when its context ends. There must be one Input for
// a stream.
type Input struct {
	file   *os.File // nil for what is no file
	reader wire.ContextReader
	close  func()
}

// NewInput makes an Input of r. A file is waited for and not read ahead. Of
// anything else one read may be under way beyond a context's end, and what it
// brings is kept.
func NewInput(r io.Reader) *Input {
	in := &Input{close: func() {}}
	if file, ok := r.(*os.File); ok && file != nil {
		in.file = file
		if waiting, err := newFileInput(file); err == nil {
			in.reader, in.close = waiting, waiting.close
			return in
		}
	}
	in.reader = wire.NewInput(r)
	return in
}

// ReadContext implements wire.ContextReader.
func (in *Input) ReadContext(ctx context.Context, p []byte) (int, error) {
	return in.reader.ReadContext(ctx, p)
}

// Read is ReadContext without an end.
func (in *Input) Read(p []byte) (int, error) { return in.ReadContext(context.Background(), p) }

// Forget throws away what was typed at a terminal and not read: it cannot have
// been the answer to a question that was not there yet. Of anything else
// nothing is thrown away.
func (in *Input) Forget() {
	if IsTerminal(in) {
		_ = onDescriptor(in.file, dropInput) // then it is read as before
	}
}

// Close gives back what waiting needed; it does not close the stream.
func (in *Input) Close() { in.close() }

// fileInput waits for a file with select(2), which knows terminals, pipes and
// files on every system (poll does not know terminals on macOS).
type fileInput struct {
	file *os.File
	turn sync.Mutex // one reader at a time

	wakeRead, wakeWrite *os.File
	fd, wake            int // of file and wakeRead
}

// newFileInput fails for descriptors that select does not take.
func newFileInput(file *os.File) (*fileInput, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	in := &fileInput{file: file, wakeRead: read, wakeWrite: write}
	err = errors.Join(
		onDescriptor(file, func(fd int) error { in.fd = fd; return nil }),
		onDescriptor(read, func(fd int) error { in.wake = fd; return nil }))
	if err == nil && max(in.fd, in.wake) >= unix.FD_SETSIZE {
		err = unix.EBADF
	}
	if err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

func (in *fileInput) close() {
	_ = in.wakeRead.Close()
	_ = in.wakeWrite.Close()
}

// ReadContext waits until there is something to read, then reads once.
func (in *fileInput) ReadContext(ctx context.Context, p []byte) (int, error) {
	in.turn.Lock()
	defer in.turn.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = in.wakeWrite.Write([]byte{0})
	})
	ready, err := in.wait()
	if !stop() {
		<-woken
		_, _ = in.wakeRead.Read(make([]byte, 1))
		if !ready {
			return 0, ctx.Err()
		}
	}
	if err != nil {
		return 0, err
	}
	return in.file.Read(p)
}

// wait returns true once the file can be read, false when it was woken.
func (in *fileInput) wait() (bool, error) {
	for {
		var set unix.FdSet
		set.Set(in.fd)
		set.Set(in.wake)
		_, err := unix.Select(max(in.fd, in.wake)+1, &set, nil, nil, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, os.NewSyscallError("select", err)
		}
		return set.IsSet(in.fd), nil
	}
}
