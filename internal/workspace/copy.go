package workspace

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/tree"
)

// CopyOptions says what CopyIn copies where.
type CopyOptions struct {
	// Source is the project's directory.
	Source string
	// Work and Git are where the project and its history go; they are made
	// when they are missing. Git is made also when there is no history, and
	// Work holds an empty .git for it to be mounted on.
	Work, Git string
	// UID and GID own the copies. Only root can name others than its own.
	UID, GID int
	// Progress, when not nil, is told from time to time how many files and
	// bytes were copied. Its calls do not overlap.
	Progress func(files, bytes int64)
}

// topMode is the mode of Work, Git and what is above a copied tree, whatever
// that of the source is: they are the agent's alone.
const topMode = 0o700

// CopyIn copies a project. Links are copied as links and never followed;
// sockets, devices, fifos and what cannot be read are left out and reported;
// of modes the permission bits are kept, times too. Files that change or
// vanish meanwhile are no error. On an error, the end of ctx included, part of
// the copy may be there.
func CopyIn(ctx context.Context, options CopyOptions) (Report, error) {
	c, err := newCopier(options)
	if err != nil {
		return Report{}, hint.Disk(fmt.Errorf("copy %s: %w", options.Source, err))
	}
	defer c.close()
	if err := c.project(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
			err = cause
		}
		return c.report, hint.Disk(fmt.Errorf("copy %s: %w", options.Source, err))
	}
	c.report.sort()
	return c.report, nil
}

// copier holds what CopyIn works with; its descriptors are closed by close.
type copier struct {
	options        CopyOptions
	source         string // without links
	src, work, git int
	report         Report
}

func newCopier(options CopyOptions) (c *copier, err error) {
	c = &copier{options: options, src: -1, work: -1, git: -1}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	// The person names the source; a link in its own path is theirs.
	if c.source, err = filepath.EvalSymlinks(options.Source); err != nil {
		return c, err
	}
	if c.source, err = filepath.Abs(c.source); err != nil {
		return c, err
	}
	if c.src, err = tree.Open(c.source); err != nil {
		return c, err
	}
	if c.work, err = c.make(options.Work); err != nil {
		return c, err
	}
	c.git, err = c.make(options.Git)
	return c, err
}

func (c *copier) owner() tree.Owner { return tree.Owner{UID: c.options.UID, GID: c.options.GID} }

// make makes the directory path, in one that exists, and opens it.
func (c *copier) make(path string) (int, error) {
	parent, err := tree.Open(filepath.Dir(path))
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(parent) }()
	return tree.MakeDir(parent, filepath.Base(path), topMode, c.owner())
}

func (c *copier) close() {
	for _, fd := range []int{c.src, c.work, c.git} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func (c *copier) project(ctx context.Context) error {
	mountpoint, err := tree.MakeDir(c.work, dotGit, topMode, c.owner())
	if err != nil {
		return err
	}
	_ = unix.Close(mountpoint)
	if err := c.history(ctx); err != nil {
		return err
	}
	skip := func(path string) bool { return path == dotGit }
	return c.copy(ctx, c.src, c.work, "", skip)
}

// copy copies the tree in src into dst; prefix names it in the report.
func (c *copier) copy(ctx context.Context, src, dst int, prefix string, skip func(string) bool) error {
	crew := &crew{
		src: src, dst: dst, owner: c.owner(), skip: skip, prefix: prefix,
		report: &c.report, progress: c.options.Progress,
	}
	return crew.run(ctx)
}

// TreeOptions says what CopyTree copies where.
type TreeOptions struct {
	Source string // a directory; a link to one is followed, those in it are not
	Root   string // an existing directory, of the run
	Path   string // below Root; slash-separated, relative, clean
	UID    int
	GID    int
}

// CopyTree copies a directory (a skill) to a path below a directory of the
// run, under the rules of CopyIn; a .git in it is nothing special.
// Directories above path are made. What exists at path is an error unless it
// is an empty directory.
func CopyTree(ctx context.Context, options TreeOptions) (Report, error) {
	c := &copier{
		options: CopyOptions{UID: options.UID, GID: options.GID},
		src:     -1, work: -1, git: -1,
	}
	defer c.close()
	if err := c.tree(ctx, options); err != nil {
		return c.report, hint.Disk(fmt.Errorf("copy %s: %w", options.Source, err))
	}
	c.report.sort()
	return c.report, nil
}

func (c *copier) tree(ctx context.Context, options TreeOptions) (err error) {
	if c.source, err = filepath.EvalSymlinks(options.Source); err != nil {
		return err
	}
	if c.src, err = tree.Open(c.source); err != nil {
		return err
	}
	root, err := tree.Open(options.Root)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(root) }()
	if c.work, err = tree.MakeDir(root, options.Path, topMode, c.owner()); err != nil {
		return err
	}
	return c.copy(ctx, c.src, c.work, "", nil)
}
