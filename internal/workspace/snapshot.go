package workspace

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/tree"
)

// Snapshot is what a work directory was like at one moment: enough to tell
// later which files are others than then, without reading them.
type Snapshot struct {
	files map[string]mark
}

// mark identifies one state of one file. Its change time cannot be set by an
// agent, unlike its modification time.
type mark struct {
	inode uint64
	size  int64
	ctime int64 // nanoseconds since 1970
	mode  uint32
}

// TakeSnapshot looks at a work directory, its .git left out.
func TakeSnapshot(ctx context.Context, work string) (Snapshot, error) {
	s := Snapshot{files: map[string]mark{}}
	_, err := look(ctx, work, func(path string, m mark) { s.files[path] = m })
	if err != nil {
		return Snapshot{}, fmt.Errorf("look at %s: %w", work, err)
	}
	return s, nil
}

// look calls visit for all below work that is not a directory, and returns how
// much of it could not be looked at.
func look(ctx context.Context, work string, visit func(path string, m mark)) (missed int, err error) {
	fd, err := tree.Open(work)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	walk := tree.Walk{Paths: true, Limit: entriesMax, Enter: func(_ int, entry tree.Entry) (bool, error) {
		switch {
		case entry.Path == dotGit:
			return false, nil
		case entry.Path == "": // too long for any program to name
			missed++
			return false, nil
		case tree.IsDir(&entry.Stat):
			return true, nil
		}
		visit(entry.Path, markOf(&entry.Stat))
		return false, nil
	}}
	result, err := walk.Run(ctx, fd)
	return missed + result.Faults, err
}

func markOf(stat *unix.Stat_t) mark {
	changed := changeTime(stat)
	return mark{
		inode: stat.Ino,
		size:  stat.Size,
		ctime: changed.Nano(),
		mode:  uint32(stat.Mode), //nolint:unconvert // uint16 on some systems
	}
}

// Changes is how a work directory differs from a snapshot. Directories do not
// count, what is in them does.
type Changes struct {
	Added, Modified, Deleted int
	// Missed counts what could not be looked at.
	Missed int
}

// change is how a file differs from what it was.
type change int

const (
	added change = iota
	modified
	deleted
)

// Compare looks at a work directory again. A file counts as modified when it
// was written to, replaced, or had its mode changed, even when its content
// came out the same. ErrTooMany says that there are too many files to look
// at; the changes found until then are returned, without deletions.
func (s Snapshot) Compare(ctx context.Context, work string) (Changes, error) {
	var c Changes
	counts := [...]*int{added: &c.Added, modified: &c.Modified, deleted: &c.Deleted}
	var err error
	c.Missed, err = s.compare(ctx, work, func(how change, _ string) { *counts[how]++ })
	if err != nil {
		return c, fmt.Errorf("look at %s: %w", work, err)
	}
	return c, nil
}

// compare tells each change. A path is as an agent chose it.
func (s Snapshot) compare(ctx context.Context, work string, tell func(how change, path string)) (missed int, err error) {
	seen := make(map[string]struct{}, len(s.files))
	missed, err = look(ctx, work, func(path string, now mark) {
		before, known := s.files[path]
		if known {
			seen[path] = struct{}{}
		}
		switch {
		case !known:
			tell(added, path)
		case before != now:
			tell(modified, path)
		}
	})
	if err != nil {
		return missed, err
	}
	for path := range s.files {
		if _, there := seen[path]; !there {
			tell(deleted, path)
		}
	}
	return missed, nil
}
