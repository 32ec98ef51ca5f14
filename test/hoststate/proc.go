package hoststate

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// processes are those that mention something of ours in what they run, where,
// in whose environment and cgroup, or that see a mount of ours. A process that
// ended meanwhile mentions nothing.
func (o *Observer) processes(_ context.Context, _ known) ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	ours, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	var lines []string
	for _, entry := range entries {
		if strings.Trim(entry.Name(), "0123456789") != "" {
			continue
		}
		if text, found := o.process(entry.Name(), ours); found {
			lines = append(lines, "process "+text)
		}
	}
	return lines, nil
}

// process describes one. hostMounts are the mounts that all of the host sees.
func (o *Observer) process(pid string, hostMounts []byte) (string, bool) {
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join("/proc", pid, name))
		if err != nil || name == "mountinfo" && bytes.Equal(data, hostMounts) {
			return ""
		}
		return string(data)
	}
	command := strings.TrimSpace(strings.ReplaceAll(read("cmdline"), "\x00", " "))
	program, _ := os.Readlink(filepath.Join("/proc", pid, "exe")) // of a kernel thread there is none
	group := read("cgroup")
	// A shim says which engine's it is.
	counts := o.Alone && strings.Contains(command, "containerd-shim") && slices.ContainsFunc(o.dirs(), func(dir string) bool {
		return strings.Contains(command, dir+"/")
	})
	for _, text := range []string{command, program, group} {
		counts = counts || o.mentions(text)
	}
	for _, name := range []string{"environ", "mountinfo"} {
		counts = counts || o.mentions(read(name))
	}
	return pid + " " + command, counts
}

// mounts are those of the host that mention something of ours, and those below
// the engine's directories that do not belong to a container of somebody else. Mounted
// namespaces are a kind of their own.
func (o *Observer) mounts(ctx context.Context, k known) ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	defer file.Close()
	var lines []string
	var others map[string]bool // nil until somebody asks
	text := bufio.NewScanner(file)
	text.Buffer(nil, 1<<20)
	for text.Scan() {
		// proc_pid_mountinfo(5): root, mount point, then options; the type is
		// the first field behind the dash.
		fields := strings.Fields(text.Text())
		if len(fields) < 10 {
			continue
		}
		point, fstype := fields[4], fields[slices.Index(fields, "-")+1]
		kind := "mount"
		if fstype == "nsfs" {
			kind = "namespace"
		}
		counts := o.mentions(text.Text())
		if !counts && o.engines(point) {
			if others == nil {
				others = o.others(ctx, k)
			}
			counts = o.Alone || !others[point]
		}
		if counts {
			lines = append(lines, kind+" "+point+" "+fstype)
		}
	}
	return lines, text.Err()
}

// dirs are where the engine keeps things of containers.
func (o *Observer) dirs() []string {
	return append([]string{o.root + "/overlay2", o.root + "/containers"}, o.Dirs...)
}

// engines says whether the engine mounts things there for its containers.
func (o *Observer) engines(point string) bool {
	if o.api == nil {
		return false
	}
	if slices.ContainsFunc(o.dirs(), func(dir string) bool { return strings.HasPrefix(point, dir+"/") }) {
		return true
	}
	dir, base, _ := cutLast(point)
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.netns[dir] && base != "default"
}

// others are where the containers that are not ours have their mounts.
func (o *Observer) others(ctx context.Context, k known) map[string]bool {
	found := map[string]bool{}
	for _, id := range k.containers {
		if o.mentions(id) {
			continue
		}
		for _, place := range o.inspect(ctx, id) {
			found[place] = true
		}
	}
	return found
}

// cgroups are the directories, of every hierarchy, that are named for a
// container of ours.
func (o *Observer) cgroups(_ context.Context, _ known) ([]string, error) {
	var lines []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil //nolint:nilerr // it went while it was looked at
		}
		if o.mentions(path) {
			lines = append(lines, "cgroup "+path)
			return fs.SkipDir
		}
		return nil
	})
	return lines, err
}

// files are those below the roots.
func (o *Observer) files(_ context.Context, _ known) ([]string, error) {
	var lines []string
	for _, root := range o.Roots {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // it went while it was looked at, or the root is not there
			}
			if info, err := entry.Info(); err == nil {
				lines = append(lines, fmt.Sprintf("file %s %v", path, info.Mode()))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return lines, nil
}
