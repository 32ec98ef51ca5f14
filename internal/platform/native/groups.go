//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/runs"
)

// kindGroup is a control group in a ledger, by its directory.
const kindGroup = runs.Kind("native-group")

// makeGroups makes the plan's control groups and opens the files by which
// `inside` joins them: the launcher's right to do so goes with the file, to a
// process that runs as another user and could not.
func (l *launch) makeGroups() error {
	planned := l.plan.Native.Groups
	if len(planned) == 0 && l.plan.Native.Scope == "" {
		return nil
	}
	l.Undo.Add("limits", func(ctx context.Context) error { return l.object.removeLimits(ctx) })
	if len(planned) == 0 {
		return nil
	}
	var resources []runs.Resource
	for _, group := range planned {
		dir := filepath.Join(group.Parent, limitsName(l.Run.ID()))
		l.object.Groups = append(l.object.Groups, dir)
		resources = append(resources, runs.Resource{Kind: kindGroup, Name: dir})
	}
	if err := l.Run.Record(resources...); err != nil {
		return err
	}
	if err := l.platform.objects().update(l.object); err != nil {
		return err
	}
	if err := failpoint.Hit("native.groups"); err != nil {
		return err
	}
	for i, group := range planned {
		file, err := makeGroup(group, l.object.Groups[i])
		if err != nil {
			return fmt.Errorf("make control group %s: %w", l.object.Groups[i], err)
		}
		l.groups = append(l.groups, file)
	}
	return nil
}

// leaf is the group within a bottle's that its processes are in. With nested
// they can mount the groups, from the one that they are in: when an ordinary
// user made it, its files are theirs to write (TestNestedKeepsItsLimits). The
// limits are in the group above, which such a mount does not reach.
const leaf = "inside"

// makeGroup makes a group with the limits and its leaf, and returns the open
// file that processes join the leaf by.
func makeGroup(group bottle.NativeGroup, dir string) (*os.File, error) {
	for _, name := range group.Enable {
		if err := writeSetting(filepath.Join(group.Parent, "cgroup.subtree_control"), "+"+name); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for _, setting := range group.Set {
		err := writeSetting(filepath.Join(dir, setting.File), setting.Value)
		if err != nil && (!setting.Optional || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
	}
	inner := filepath.Join(dir, leaf)
	if err := os.Mkdir(inner, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(inner, "cgroup.procs"), os.O_WRONLY, 0)
}

// writeSetting writes a file of the kernel's, which is there or an error.
func writeSetting(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

// removeLimits removes what held a bottle whose processes have ended.
func (o object) removeLimits(ctx context.Context) error {
	var err error
	if o.Scope != nil {
		err = o.Scope.stop(ctx)
	}
	return errors.Join(err, removeGroups(ctx, o.Groups))
}

const (
	// groupPause is between two attempts to remove a group whose last process is
	// still on its way out.
	groupPause = 5 * time.Millisecond
	// groupPatience is how long that is tried: a process that somebody else put
	// there may stay for good.
	groupPatience = 10 * time.Second
)

// removeGroups removes control groups whose processes have ended. One that is
// missing is removed.
func removeGroups(ctx context.Context, dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		if err := removeGroup(ctx, dir); err != nil {
			errs = append(errs, fmt.Errorf("remove control group: %w", err))
		}
	}
	return errors.Join(errs...)
}

func removeGroup(ctx context.Context, dir string) error {
	if !strings.HasPrefix(filepath.Base(dir), "claude-bottle-") {
		return fmt.Errorf("%s: it is no bottle's", dir)
	}
	ctx, cancel := context.WithTimeout(ctx, groupPatience)
	defer cancel()
	tick := time.NewTicker(groupPause)
	defer tick.Stop()
	for {
		err := removeTree(unix.AT_FDCWD, dir)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EBUSY):
			return &os.PathError{Op: "rmdir", Path: dir, Err: err}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &os.PathError{Op: "rmdir", Path: dir, Err: err}
		}
	}
}

// removeTree removes a group and those within it, which a bottle may have made
// deeper than any path is long. One that is missing is removed.
func removeTree(at int, name string) error {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		group := os.NewFile(uintptr(fd), name) //nolint:gosec // G115: a descriptor
		err = removeWithin(group)
		_ = group.Close()
	}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV): // a launcher and `stop` remove at once
		return nil
	case err != nil:
		return err
	}
	if err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

func removeWithin(group *os.File) error {
	entries, err := group.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := removeTree(int(group.Fd()), entry.Name()); err != nil { //nolint:gosec // G115: a descriptor
			return err
		}
	}
	return nil
}
