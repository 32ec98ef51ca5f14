package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// SyncEvery is how long a line may wait to be on the disk; a refusal does not
// wait.
const SyncEvery = 200 * time.Millisecond

// ErrFull is that the record reached its limit: a bottle that asks without end
// must not fill the host's disk.
var ErrFull = errors.New("the record has reached its size limit")

// ErrClosed is an Append after Close.
var ErrClosed = errors.New("the record is closed")

// Writer appends events to a record. Append is safe for concurrent use; lines
// are whole and in the order in which Append was called.
type Writer struct {
	path    string
	limit   int64
	most    int64 // of one part
	durable bool  // a regular file; a pipe or device has no disk to be on

	mu     sync.Mutex // guards the rest
	file   *os.File
	part   int   // that is written
	before int64 // bytes of the parts before it
	size   int64 // whole lines in the file
	failed error // sticky: a sync that failed, or Close
	dirty  bool  // and due is set
	due    *time.Timer

	sync chan struct{} // asks for a sync now
	stop chan struct{}
	done chan struct{}
}

// OpenWriter opens the record at path, making it (0600) if it is not there. A
// torn last line, left by a crash, is ended so that the next one is whole.
// limit is the most bytes that all of its parts may hold; 0 is no limit. The caller closes.
func OpenWriter(path string, limit int64) (*Writer, error) {
	n, before, err := parts(path)
	if err != nil {
		return nil, fmt.Errorf("open record: %w", err)
	}
	last := max(n-1, 0)
	f, err := os.OpenFile(part(path, last), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open record: %w", err)
	}
	w := &Writer{
		path: path, limit: limit, most: partSize, part: last, before: before, file: f,
		due: time.NewTimer(SyncEvery), sync: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := w.mend(); err != nil {
		f.Close()
		return nil, fmt.Errorf("open record: %w", err)
	}
	go w.syncer()
	return w, nil
}

// mend ends a torn last line.
func (w *Writer) mend() error {
	info, err := w.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	w.durable = true
	if w.size = info.Size(); w.size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := w.file.ReadAt(last, w.size-1); err != nil {
		return err
	}
	if last[0] == '\n' {
		return nil
	}
	n, err := w.file.Write([]byte{'\n'})
	w.size += int64(n)
	return err
}

// Append writes e. When it returns nil the line is in the file, and on the
// disk within SyncEvery. When it returns an error nothing of it is there, and
// whatever it allowed must not happen. A full disk may recover: the next
// Append tries again. A sync that failed does not.
func (w *Writer) Append(e Event) error {
	line, err := e.line()
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return fmt.Errorf("write record: %w", w.failed)
	}
	if w.limit > 0 && w.before+w.size+int64(len(line)) > w.limit {
		return fmt.Errorf("write record: %w", ErrFull)
	}
	if w.durable && w.size > 0 && w.size+int64(len(line)) > w.most {
		if err := w.next(); err != nil {
			return fmt.Errorf("write record: %w", err)
		}
	}
	n, err := w.file.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if err != nil {
		if n > 0 { // half a line would swallow the next one
			if terr := w.file.Truncate(w.size); terr != nil {
				w.failed = terr
			}
		}
		return fmt.Errorf("write record: %w", err)
	}
	w.size += int64(n)
	if !w.dirty {
		w.dirty = true
		w.due.Reset(SyncEvery)
	}
	if e.Decision != Allowed {
		select {
		case w.sync <- struct{}{}:
		default:
		}
	}
	return nil
}

// syncer ends with Close. While nothing is written it sleeps.
func (w *Writer) syncer() {
	defer close(w.done)
	defer w.due.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-w.due.C:
		case <-w.sync:
		}
		w.flush()
	}
}

// flush puts what was written on the disk. It does not hold the lock while
// the disk works.
func (w *Writer) flush() {
	w.mu.Lock()
	dirty, file := w.dirty, w.file
	w.dirty = false
	w.mu.Unlock()
	if !dirty || !w.durable {
		return
	}
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // closed parts are synced
		w.mu.Lock()
		w.failed = err
		w.mu.Unlock()
	}
}

// Close syncs and closes the record. It is idempotent.
func (w *Writer) Close() error {
	w.mu.Lock()
	if errors.Is(w.failed, ErrClosed) {
		w.mu.Unlock()
		return nil
	}
	failed := w.failed
	w.failed = ErrClosed
	w.mu.Unlock()
	close(w.stop)
	<-w.done
	err := errors.Join(failed, w.flushLast(), w.file.Close())
	if err != nil {
		return fmt.Errorf("close record: %w", err)
	}
	return nil
}

func (w *Writer) flushLast() error {
	if !w.dirty || !w.durable {
		return nil
	}
	return w.file.Sync()
}
