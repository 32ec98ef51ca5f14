package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/tree"
)

// entriesMax is how many files a walk through what an agent wrote looks at.
// More are more than any project's, and an attack on the host's memory or
// number of inodes.
const entriesMax = 4 << 20

// ErrTooMany says that a tree has more files than anybody should look at.
var ErrTooMany = tree.ErrTooMany

// Measure is what Usage found.
type Measure struct {
	Bytes   int64 // on disk, what directories take included; a file with several names counts once
	Entries int
	// Faults counts what could not be looked at, as a directory that denies
	// itself to its owner, or one that was moved away meanwhile.
	Faults int
}

// Usage measures what trees take on disk, together. A path that is missing
// counts nothing. It costs about a microsecond an entry; ErrTooMany ends it
// early, with what was found until then.
func Usage(ctx context.Context, paths ...string) (Measure, error) {
	return UsageUpTo(ctx, math.MaxInt64, paths...)
}

// UsageUpTo is Usage for who wants to know whether it is more than a number of
// bytes, and as soon as it can be known: the rest is not counted then.
func UsageUpTo(ctx context.Context, most int64, paths ...string) (Measure, error) {
	m := meter{seen: map[file]struct{}{}, most: most}
	for _, path := range paths {
		err := m.add(ctx, path)
		if errors.Is(err, errEnough) {
			break
		}
		if err != nil {
			return m.Measure, fmt.Errorf("measure %s: %w", path, err)
		}
	}
	return m.Measure, nil
}

// errEnough ends a walk that has counted all that anybody wants to know.
var errEnough = errors.New("more than was asked for")

// file is what the kernel knows a file by.
type file struct{ dev, ino uint64 }

type meter struct {
	Measure
	seen map[file]struct{} // those with more than one name
	most int64
}

func (m *meter) add(ctx context.Context, path string) error {
	fd, err := tree.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var top unix.Stat_t
	if err := unix.Fstat(fd, &top); err != nil {
		return err
	}
	m.Bytes += top.Blocks * 512
	walk := tree.Walk{Limit: entriesMax - m.Entries, Enter: func(_ int, entry tree.Entry) (bool, error) {
		if m.count(&entry.Stat); m.Bytes > m.most {
			return false, errEnough
		}
		return true, nil
	}}
	result, err := walk.Run(ctx, fd)
	m.Entries += result.Entries
	m.Faults += result.Faults
	return err
}

func (m *meter) count(stat *unix.Stat_t) {
	if stat.Nlink > 1 && !tree.IsDir(stat) {
		id := file{uint64(stat.Dev), stat.Ino} //nolint:unconvert // int32 on some systems
		if _, again := m.seen[id]; again {
			return
		}
		m.seen[id] = struct{}{}
	}
	m.Bytes += stat.Blocks * 512
}
