//go:build !linux

package workspace

import "golang.org/x/sys/unix"

// clones is for systems that can share blocks.
type clones struct{}

func (*clones) try(int, int, *unix.Stat_t) bool { return false }

func (w *worker) sparse(src, dst int, size int64) error {
	_, err := w.plain(src, dst, 0, size)
	return err
}

func (w *worker) span(src, dst int, offset, length int64) (int64, error) {
	return w.plain(src, dst, offset, length)
}

func times(stat *unix.Stat_t) (accessed, modified unix.Timespec) { return stat.Atim, stat.Mtim }

func changeTime(stat *unix.Stat_t) unix.Timespec { return stat.Ctim }
