//go:build linux

package native

import (
	"path/filepath"
	"slices"
	"strconv"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/provision"
	"claude-bottle/internal/supervise"
)

// insideNonce is where the guest finds the nonce's file.
const insideNonce = "/.claude-bottle/nonce"

// paths are where the parts of a run are on the host.
type paths struct {
	Home, Work, Git string
	Etc             string // provision.Etc
	Program         string // our own
}

// arguments are bubblewrap's (bwrap(1)), in order: each mount lies over those
// before it. What is not named is not there. The network namespace is the
// caller's, and stays. written are files that the platform adds.
//
// For each of its mounts but fresh ones bubblewrap reads the kernel's list of
// all of them, twice as long for twice as many: they are few, and those that
// need no list come last.
func arguments(plan bottle.Plan, at paths, written []supervise.Content) (args []string, contents []supervise.Content) {
	spec, part := plan.Spec, plan.Native
	args = []string{
		"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
		"--as-pid-1", "--die-with-parent", "--new-session", "--hostname", spec.Slug,
		"--proc", "/proc", "--dev", "/dev", "--perms", "755", "--dir", "/etc",
	}
	if !spec.Nested {
		// The kernel lets nobody mount another /proc beside one that is covered.
		args = append(args, "--ro-bind", "/proc/sys", "/proc/sys")
	}
	for _, path := range part.Masked {
		args = append(args, "--ro-bind", "/dev/null", path)
	}
	for _, m := range part.Mounts {
		args = append(args, "--ro-bind", m.Source, m.Target)
	}
	for _, link := range part.Links {
		args = append(args, "--symlink", link.Target, link.Name)
	}
	for _, m := range part.Copies {
		contents = append(contents, supervise.Content{Source: m.Source, Target: m.Target})
	}
	contents = append(contents, written...)
	for i, c := range contents {
		args = append(args, "--perms", "644", "--file", strconv.Itoa(supervise.FirstContentFD+i), c.Target)
	}
	for _, m := range plan.Mounts {
		args = append(args, "--ro-bind", m.Source, m.Target)
		for _, hidden := range m.Hidden {
			args = append(args, "--ro-bind", "/dev/null", hidden)
		}
	}
	for _, name := range etcFiles(spec) {
		args = append(args, "--ro-bind", filepath.Join(at.Etc, name), filepath.Join(bottle.EtcMount, name))
	}
	args = append(args,
		"--ro-bind", at.Program, bottle.Program,
		"--bind", at.Home, spec.Home,
		"--bind", at.Work, spec.Workspace,
		"--bind", at.Git, spec.Workspace+"/.git",
		"--remount-ro", "/dev",
	)
	for _, t := range temporary {
		if limit := spec.Limits.Memory; limit > 0 {
			args = append(args, "--size", strconv.FormatInt(limit/t.part, 10))
		}
		args = append(args, "--perms", t.mode, "--tmpfs", t.dir)
	}
	args = append(args,
		"--remount-ro", "/",
		"--chdir", spec.Workspace,
		"--", bottle.Program,
	)
	return append(args, platform.BoundsOf(spec).Args()...), contents
}

// temporary are the bottle's own directories in memory. What is in them counts
// as its memory, and no process can be killed to get it back: of a limit they
// take these parts at most, so that there is always something left for who
// writes too much to be told so.
var temporary = []struct {
	dir, mode string
	part      int64
}{
	{"/tmp", "1777", 2}, {"/var/tmp", "1777", 8}, {"/dev/shm", "1777", 8}, {"/run", "755", 32},
}

// etcFiles are those of the spec that are mounted one by one, sorted.
func etcFiles(spec bottle.Spec) []string {
	var files []string
	for _, file := range spec.Files {
		if file.Root == provision.Etc {
			files = append(files, file.Path)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}
