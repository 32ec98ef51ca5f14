//go:build linux

package native

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// controllers are those that hold a bottle's limits.
var controllers = []string{"memory", "cpu", "pids"}

// hierarchies are those that this process is in, as the kernel says of it
// (cgroups(7), proc_pid_mountinfo(5)). What cannot be read is not there.
func hierarchies(uid int, getenv func(string) string) []hierarchy {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var found []hierarchy
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		names, group := parts[1], parts[2]
		if names == "" {
			root, own := mountedAt(string(mounts), "cgroup2", "", group)
			if root == "" {
				continue
			}
			if h, ok := systemdHierarchy(root, uid, getenv); ok {
				found = append(found, h)
			}
			found = append(found, unified(root, own))
			continue
		}
		ours := slices.DeleteFunc(strings.Split(names, ","), func(name string) bool { return !slices.Contains(controllers, name) })
		if len(ours) == 0 {
			continue
		}
		if root, own := mountedAt(string(mounts), "cgroup", ours[0], group); root != "" {
			found = append(found, hierarchy{Version: 1, Parent: own, Controllers: ours, Closed: closedGroup(own)})
		}
	}
	return found
}

// mountedAt finds where a hierarchy is mounted, and the directory of a group of
// it. One that lies outside of what is mounted is taken to be the mount's root,
// as in a container that sees a part of the hierarchy alone.
func mountedAt(mounts, kind, controller, group string) (root, own string) {
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kinds := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kinds) < 3 || kinds[0] != kind {
			continue
		}
		if controller != "" && !slices.Contains(strings.Split(kinds[2], ","), controller) {
			continue
		}
		root = fields[4]
		below, inside := strings.CutPrefix(group, strings.TrimSuffix(fields[3], "/"))
		if !inside || strings.HasPrefix(below, "/..") || below != "" && below[0] != '/' {
			below = ""
		}
		return root, filepath.Join(root, below)
	}
	return "", ""
}

// closedGroup says why no group can be made in a directory; empty when one can.
func closedGroup(dir string) string {
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return err.Error()
	}
	return ""
}

func writable(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS) == nil
}

// unified looks for a place in the hierarchy of version 2, whose rules are its
// own: a group that holds processes gives its controllers to none below it, the
// root's alone excepted, and whoever moves a process must be allowed to write
// to the closest group above both places.
func unified(root, own string) hierarchy {
	h := hierarchy{Version: 2, Parent: own, Controllers: ofOurs(own, "cgroup.controllers"), Closed: "it holds processes"}
	for dir := own; ; dir = filepath.Dir(dir) {
		if why := closedGroup(dir); why != "" {
			if dir == own {
				h.Closed = why
			}
			return h
		}
		if candidate, ok := delegated(dir); ok && len(candidate.Controllers) > 0 {
			return candidate
		}
		if dir == root || !within(dir, root) {
			return h
		}
	}
}

// delegated says whether a group of version 2 can have one below it for a
// process that is in it, or below it.
func delegated(dir string) (hierarchy, bool) {
	h := hierarchy{Version: 2, Parent: dir}
	if !writable(filepath.Join(dir, "cgroup.procs")) {
		return h, false
	}
	given := ofOurs(dir, "cgroup.subtree_control")
	h.Controllers = ofOurs(dir, "cgroup.controllers")
	for _, name := range h.Controllers {
		if !slices.Contains(given, name) {
			h.Enable = append(h.Enable, name)
		}
	}
	if len(h.Enable) > 0 && (holdsProcesses(dir) || !writable(filepath.Join(dir, "cgroup.subtree_control"))) {
		h.Controllers, h.Enable = given, nil
	}
	return h, true
}

// holdsProcesses says whether a group has processes of its own, in the sense of
// the rule above: those of the root do not count.
func holdsProcesses(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "cgroup.events")); errors.Is(err, fs.ErrNotExist) {
		return false // the root has no such file
	}
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	return err != nil || len(bytes.TrimSpace(procs)) > 0
}

// ofOurs are those of our controllers that a group's file lists.
func ofOurs(dir, file string) []string {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil
	}
	listed := strings.Fields(string(text))
	return slices.DeleteFunc(slices.Clone(controllers), func(name string) bool { return !slices.Contains(listed, name) })
}
