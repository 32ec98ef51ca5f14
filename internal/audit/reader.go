package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// Reader reads a record that may still be written and whose content may be
// hostile: a line that is too long or not an event is counted and left out, a
// line without its end is not there yet.
type Reader struct {
	// Bad counts the lines that were left out.
	Bad int

	br   *bufio.Reader
	torn []byte // a line whose end has not been read
	long bool   // the line under way exceeded MaxLine
}

// NewReader reads from r, from its beginning.
func NewReader(r io.Reader) *Reader { return &Reader{br: bufio.NewReaderSize(r, 32<<10)} }

// Next returns the next event. After io.EOF it may be called again, when the
// record has grown. Strings are bounded and without controls.
func (r *Reader) Next() (Event, error) {
	for {
		part, err := r.br.ReadSlice('\n')
		if len(r.torn)+len(part) > MaxLine {
			r.long, r.torn = true, r.torn[:0]
		} else if !r.long {
			r.torn = append(r.torn, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return Event{}, err
		}
		line, long := bytes.TrimSpace(r.torn), r.long
		r.torn, r.long = r.torn[:0], false
		var e Event
		switch {
		case long || len(line) > 0 && json.Unmarshal(line, &e) != nil:
			r.Bad++
		case len(line) > 0:
			return e.bounded(), nil
		}
	}
}

// Read calls each with every event of the record at path, all parts in order,
// and returns how many lines were left out. A record that is not there yet has
// no events.
func Read(path string, each func(Event) error) (bad int, err error) {
	for n := 0; ; n++ {
		f, err := openPart(part(path, n))
		if errors.Is(err, os.ErrNotExist) {
			return bad, nil
		}
		if err != nil {
			return bad, fmt.Errorf("read record: %w", err)
		}
		r := NewReader(f)
		err = drain(r, each)
		f.Close()
		bad += r.Bad
		if err != nil {
			return bad, err
		}
	}
}

// openPart opens a part for reading. Its directory is the gateway's user's, who
// is not always the reader: a link is not followed, and a pipe, which whoever
// opens it waits at, is refused (TestRecordIsAFile).
func openPart(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// drain calls each with what there is.
func drain(r *Reader, each func(Event) error) error {
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read record: %w", err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// followEvery is how often Follow looks for more.
const followEvery = 100 * time.Millisecond

// Follow is Read that goes on as the record grows, also before it exists and
// from part to part, until ctx ends; that is not an error.
func Follow(ctx context.Context, path string, each func(Event) error) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	f := follower{path: path, each: each}
	defer f.close()
	for {
		ended := ctx.Err() != nil // what was written before that is still read
		if err := f.read(); err != nil {
			return err
		}
		if ended {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// follower is where a Follow is in a record.
type follower struct {
	path string
	each func(Event) error

	part   int
	file   *os.File // of the part; nil when it is not there yet
	reader *Reader
}

// read reads what there is, up to the end of the last part.
func (f *follower) read() error {
	for {
		if f.file == nil {
			file, err := openPart(part(f.path, f.part))
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("follow record: %w", err)
			}
			f.file, f.reader = file, NewReader(file)
		}
		// Asked before it is read: a part that has a next one grows no more.
		_, err := os.Stat(part(f.path, f.part+1))
		if err := drain(f.reader, f.each); err != nil {
			return err
		}
		if err != nil {
			return nil
		}
		f.close()
		f.part++
	}
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}
