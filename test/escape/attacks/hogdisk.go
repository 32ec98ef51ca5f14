//go:build linux

package attacks

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func fillDisk(ctx context.Context) (Taken, error) {
	dir, err := os.MkdirTemp(".", "disk-")
	if err != nil {
		return Taken{}, err
	}
	piece := make([]byte, 1<<20)
	for i := range piece {
		piece[i] = byte(i * 7)
	}
	for i := range 512 {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), piece, 0o600); err != nil {
			return Taken{i, err.Error()}, nil
		}
	}
	for i := range 20000 {
		if err := os.WriteFile(filepath.Join(dir, "empty-"+strconv.Itoa(i)), nil, 0o600); err != nil {
			return Taken{i, err.Error()}, nil
		}
	}
	select { // until somebody has measured it
	case <-ctx.Done():
	case <-time.After(time.Minute):
	}
	return Taken{512, "nobody minded"}, nil
}

// reserveDisk tries for a while.
func reserveDisk(ctx context.Context) (taken Taken, err error) {
	ctx, cancel := context.WithTimeout(ctx, hogTime)
	defer cancel()
	for ctx.Err() == nil && taken.Count == 0 && err == nil {
		taken, err = reserve()
	}
	return taken, err
}

// reserve takes blocks by each of the calls that do so without writing.
func reserve() (Taken, error) {
	file, err := os.CreateTemp(".", "reserved-")
	if err != nil {
		return Taken{}, err
	}
	defer func() { _, _ = file.Close(), os.Remove(file.Name()) }()
	const much = 16 << 30
	fd := int(file.Fd()) //nolint:gosec // G115: a descriptor
	for _, mode := range []uint32{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE} {
		if err = unix.Fallocate(fd, mode, 0, much); err == nil {
			break
		}
	}
	// space_resv of linux/falloc.h, from the file's start.
	space := struct {
		kind, whence  int16
		start, length int64
		_             [6]uint32
	}{length: much}
	for _, request := range []uintptr{0x40305828, 0x4030582a, 0x40305839} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), request, uintptr(unsafe.Pointer(&space))); errno == 0 {
			err = nil
		}
	}
	var stat unix.Stat_t
	if got := unix.Fstat(fd, &stat); got != nil {
		return Taken{}, got
	}
	return Taken{int(stat.Blocks * 512), errorText(err)}, nil
}
