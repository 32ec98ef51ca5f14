package audit

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// A record is one file, or several parts: record, record.1, record.2 and so on,
// in the order in which they were written, each of whole lines. A part is never
// written again once the next one is there, and none is removed.

// partSize is from how many bytes on a part is followed by the next.
const partSize = 64 << 20

// part is the path of a record's part n.
func part(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

// parts is how many parts of a record there are, and how many bytes are in all
// but the last.
func parts(path string) (n int, before int64, err error) {
	last := int64(0)
	for ; ; n++ {
		info, err := os.Stat(part(path, n))
		if errors.Is(err, os.ErrNotExist) {
			return n, before, nil
		}
		if err != nil {
			return 0, 0, err
		}
		before += last
		last = info.Size()
	}
}

// next begins the next part of the record: what is in this one is on the disk
// first. The caller holds the lock.
func (w *Writer) next() error {
	if err := w.file.Sync(); err != nil {
		return err
	}
	f, err := os.OpenFile(part(w.path, w.part+1), os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("begin part %d: %w", w.part+1, err)
	}
	_ = w.file.Close() // all of it is synced
	w.before += w.size
	w.file, w.size, w.part = f, 0, w.part+1
	return nil
}
