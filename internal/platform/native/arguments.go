//go:build linux

package native

import (
	"path/filepath"
	"slices"
	"strconv"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/provision"
)

// insideNonce is where the guest finds the nonce's file.
const insideNonce = "/.claude-bottle/nonce"

// paths are where the parts of a run are on the host.
type paths struct {
	Home, Work, Git string
	Etc             string // provision.Etc, and what the network needs
	Nonce           string
	Program         string // our own
}

// arguments are bubblewrap's (bwrap(1)), in order: each mount lies over those
// before it. What is not named is not there. The network namespace is the
// caller's, and stays.
func arguments(plan bottle.Plan, at paths) []string {
	spec, part := plan.Spec, plan.Native
	args := []string{
		"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
		"--as-pid-1", "--die-with-parent", "--new-session", "--hostname", spec.Slug,
	}
	for _, m := range part.Mounts {
		args = append(args, "--ro-bind", m.Source, m.Target)
	}
	for _, link := range part.Links {
		args = append(args, "--symlink", link.Target, link.Name)
	}
	args = append(args, "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev")
	for _, t := range temporary {
		if limit := spec.Limits.Memory; limit > 0 {
			args = append(args, "--size", strconv.FormatInt(limit/t.part, 10))
		}
		args = append(args, "--perms", t.mode, "--tmpfs", t.dir)
	}
	args = append(args, "--remount-ro", "/dev")
	for _, name := range etcFiles(spec) {
		args = append(args, "--ro-bind", filepath.Join(at.Etc, name), filepath.Join(bottle.EtcMount, name))
	}
	return append(args,
		"--ro-bind", at.Program, bottle.Program,
		"--ro-bind", at.Nonce, insideNonce,
		"--bind", at.Home, spec.Home,
		"--bind", at.Work, spec.Workspace,
		"--bind", at.Git, spec.Workspace+"/.git",
		"--remount-ro", "/",
		"--chdir", spec.Workspace,
		"--", bottle.Program, "guest", "init",
	)
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

// etcFiles are the files mounted one by one, sorted: those of the spec, and
// those that the platform writes.
func etcFiles(spec bottle.Spec) []string {
	files := []string{"passwd", "group", "hosts", "nsswitch.conf", "resolv.conf"}
	for _, file := range spec.Files {
		if file.Root == provision.Etc {
			files = append(files, file.Path)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}
