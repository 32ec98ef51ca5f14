package workspace

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/tree"
)

// A linked worktree and a submodule have a file for .git, which names their
// git directory elsewhere (gitrepository-layout(5)). It came with the project,
// so by itself it proves nothing: it could name any repository of the person's
// and have it copied into the bottle. It is believed when what it names points
// back, which only git, run by the person, can have written there.

// pointed copies the history that the file .git names. The copy is an ordinary
// git directory: it does not need the repository it was taken from.
func (c *copier) pointed(ctx context.Context) error {
	own, common, ok := c.resolvePointer()
	if !ok {
		c.report.note(dotGit, GitPointer)
		return nil
	}
	src, err := tree.Open(common)
	if err != nil {
		c.report.note(dotGit, Unreadable)
		return nil
	}
	defer func() { _ = unix.Close(src) }()
	if own == common {
		if err := c.repository(ctx, src, nil, nil); err != nil {
			return err
		}
		return c.standAlone()
	}
	linked, err := tree.Open(own)
	if err != nil {
		c.report.note(dotGit, Unreadable)
		return nil
	}
	defer func() { _ = unix.Close(linked) }()
	if err := c.linked(ctx, linked, src); err != nil {
		return err
	}
	return c.standAlone()
}

// linked copies the repository src as the linked worktree sees it, which has a
// HEAD, an index and more of its own.
func (c *copier) linked(ctx context.Context, linked, src int) error {
	names, err := tree.Names(linked)
	if err != nil {
		return err
	}
	shared := []string{"refs", "logs"} // directories that both have
	others := []string{"worktrees", "HEAD", "index", "config.worktree", "logs/HEAD"}
	for _, name := range names {
		if !slices.Contains(shared, name) {
			others = append(others, name)
		}
	}
	skip := func(path string) bool { return slices.Contains(others, path) }
	return c.repository(ctx, src, skip, func() error {
		pointers := append(shared, "commondir", "gitdir", "locked")
		return c.copy(ctx, linked, c.git, dotGit, func(path string) bool { return slices.Contains(pointers, path) })
	})
}

// standAlone makes the copied configuration mean the directory that the copy
// is mounted in: the last value of a variable wins (git-config(1)).
func (c *copier) standAlone() error {
	fd, err := unix.Openat(c.git, "config", unix.O_WRONLY|unix.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // git does without, and so do we
	}
	file := os.NewFile(uintptr(fd), "config")
	_, err = file.WriteString("\n[core]\n\tbare = false\n\tworktree = ..\n")
	return errors.Join(err, file.Close())
}

// resolvePointer returns the git directory that is the source's own and the
// one with the objects; they differ for a linked worktree.
func (c *copier) resolvePointer() (own, common string, ok bool) {
	text, err := readSmall(filepath.Join(c.source, dotGit))
	if err != nil {
		return "", "", false
	}
	target, isPointer := strings.CutPrefix(text, "gitdir: ")
	if !isPointer {
		return "", "", false
	}
	if own, err = follow(c.source, target); err != nil {
		return "", "", false
	}
	if text, err = readSmall(filepath.Join(own, "commondir")); err != nil {
		return own, own, c.isSubmodule(own)
	}
	if common, err = follow(own, text); err != nil {
		return "", "", false
	}
	// The directory must be one of the repository's own worktrees, or a
	// project could bring a made-up one that points at any repository.
	if filepath.Dir(own) != filepath.Join(common, "worktrees") {
		return "", "", false
	}
	back, err := readSmall(filepath.Join(own, "gitdir"))
	if err != nil || filepath.Base(back) != dotGit {
		return "", "", false
	}
	home, err := follow(own, filepath.Dir(back))
	return own, common, err == nil && home == c.source
}

// isSubmodule says whether the git directory's configuration names the source
// as its worktree.
func (c *copier) isSubmodule(dir string) bool {
	text, err := readSmall(filepath.Join(dir, "config"))
	if err != nil {
		return false
	}
	worktree := coreWorktree(text)
	if worktree == "" {
		return false
	}
	home, err := follow(dir, worktree)
	return err == nil && home == c.source
}

// coreWorktree finds core.worktree in a configuration as git itself writes it.
func coreWorktree(config string) string {
	found, core := "", false
	for line := range strings.SplitSeq(config, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			core = strings.EqualFold(line, "[core]")
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if ok && core && strings.EqualFold(strings.TrimSpace(key), "worktree") {
			found = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return found
}

// follow resolves a path that is absolute or relative to dir.
func follow(dir, path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.EvalSymlinks(path)
}

// readSmall reads a file of at most 64 KiB, without the newline at its end. It
// follows no link in the last place and does not wait for a fifo.
func readSmall(path string) (string, error) {
	const most = 64 << 10
	data, err := tree.ReadFile(path, most)
	return strings.TrimRight(string(data), "\r\n"), err
}
