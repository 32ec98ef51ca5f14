//go:build linux

package native

import (
	"path/filepath"
	"slices"

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
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		args = append(args, "--perms", "1777", "--tmpfs", dir)
	}
	args = append(args, "--tmpfs", "/run")
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
