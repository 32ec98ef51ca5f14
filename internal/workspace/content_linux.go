package workspace

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// step is what the kernel copies in one call, so that the end of the context
// is seen in between.
const step = 16 << 20

// clones remembers between which file systems blocks cannot be shared, so that
// each pair is tried once.
type clones struct{ refused sync.Map } // [2]uint64, device numbers

// try makes dst share the blocks of src (ioctl_ficlone(2)).
func (c *clones) try(src, dst int, from *unix.Stat_t) bool {
	var to unix.Stat_t
	if err := unix.Fstat(dst, &to); err != nil {
		return false
	}
	pair := [2]uint64{from.Dev, to.Dev}
	if _, no := c.refused.Load(pair); no {
		return false
	}
	if err := unix.IoctlFileClone(dst, src); err != nil {
		c.refused.Store(pair, nil)
		return false
	}
	return true
}

// sparse copies the parts of a file that are data and leaves the rest a hole
// (lseek(2), SEEK_DATA).
func (w *worker) sparse(src, dst int, size int64) error {
	for at := int64(0); at < size; {
		data, err := unix.Seek(src, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // nothing but a hole up to the end
		}
		if err != nil {
			_, err := w.span(src, dst, at, size-at)
			return err
		}
		hole, err := unix.Seek(src, data, unix.SEEK_HOLE)
		if err != nil {
			return errSource{err}
		}
		length := min(hole, size) - data
		if length <= 0 {
			break
		}
		if n, err := w.span(src, dst, data, length); err != nil || n < length {
			return err
		}
		at = hole
	}
	return unix.Ftruncate(dst, size)
}

// span copies length bytes at offset within the kernel where it can
// (copy_file_range(2)), and returns how many there were.
func (w *worker) span(src, dst int, offset, length int64) (int64, error) {
	from, to := offset, offset
	for end := offset + length; from < end; {
		n, err := unix.CopyFileRange(src, &from, dst, &to, int(min(end-from, step)), 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil && from == offset: // not between these two: by hand, which also tells whose fault it was
			return w.plain(src, dst, offset, length)
		case err != nil:
			n, err := w.plain(src, dst, from, end-from)
			return from - offset + n, err
		case n == 0: // it became shorter, or the file system has no such call
			n, err := w.plain(src, dst, from, end-from)
			return from - offset + n, err
		}
		if err := w.wrote(n); err != nil {
			return from - offset, err
		}
	}
	return length, nil
}

func times(stat *unix.Stat_t) (accessed, modified unix.Timespec) { return stat.Atim, stat.Mtim }

func changeTime(stat *unix.Stat_t) unix.Timespec { return stat.Ctim }
