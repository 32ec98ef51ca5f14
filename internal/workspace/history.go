package workspace

import (
	"context"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/tree"
)

// dotGit is where git looks for a repository.
const dotGit = ".git"

// history copies the project's git directory, when it has one.
func (c *copier) history(ctx context.Context) error {
	stat, err := tree.Stat(c.src, dotGit)
	if err != nil {
		return nil //nolint:nilerr // there is none, or none for us
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		dir, err := tree.OpenDir(c.src, dotGit)
		if err != nil {
			c.report.note(dotGit, Unreadable)
			return nil
		}
		defer func() { _ = unix.Close(dir) }()
		return c.repository(ctx, dir, nil, nil)
	case unix.S_IFLNK:
		c.report.note(dotGit, GitLink)
	case unix.S_IFREG:
		return c.pointed(ctx)
	}
	return nil
}

// repository copies the git directory dir without what skip says, then does
// more, if not nil. Objects come last: a commit made meanwhile may add some
// that nothing refers to, but whatever refers to one was copied before it.
func (c *copier) repository(ctx context.Context, dir int, skip func(string) bool, more func() error) error {
	const objects = "objects"
	err := c.copy(ctx, dir, c.git, dotGit, func(path string) bool {
		return path == objects || skip != nil && skip(path)
	})
	if err != nil {
		return err
	}
	if more != nil {
		if err := more(); err != nil {
			return err
		}
	}
	c.report.Git = true
	src, err := tree.OpenDir(dir, objects)
	if err != nil {
		if stat, err := tree.Stat(dir, objects); err == nil && stat.Mode&unix.S_IFMT == unix.S_IFLNK {
			c.report.note(dotGit+"/"+objects, ObjectsLink)
		}
		return nil //nolint:nilerr // not a repository, or one that keeps them elsewhere
	}
	defer func() { _ = unix.Close(src) }()
	c.alternates(src)
	dst, err := tree.MakeDir(c.git, objects, topMode, c.owner())
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dst) }()
	return c.copy(ctx, src, dst, dotGit+"/"+objects, nil)
}

// alternates notes a repository that takes objects from another one.
func (c *copier) alternates(objects int) {
	info, err := tree.OpenDir(objects, "info")
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(info) }()
	if stat, err := tree.Stat(info, "alternates"); err == nil && stat.Size > 0 {
		c.report.note(dotGit, Alternates)
	}
}
