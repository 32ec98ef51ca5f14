//go:build linux

package attacks

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/attack"
)

func fileAttacks() []Attack {
	return []Attack{
		{ID: "files/host", What: "read files of the host: its home, its runs, its sockets", try: hostFiles},
		{ID: "files/host-through-proc", What: "reach them through the roots and directories of other processes", try: throughProc},
		{ID: "files/system", What: "write anywhere but in the bottle's own directories", try: writeEverywhere},
		{ID: "files/bottle", What: "write the bottle's own passwd, hosts, resolv.conf, certificates and program", try: ownFiles},
		{ID: "files/links", What: "link to a file of the host, or of root, into its own directories", try: hardLinks},
		{ID: "files/devices", What: "open devices: every one in /dev", try: devices},
		{ID: "files/device-nodes", What: "make nodes of devices: disk, memory, null, as mknod and mknodat", try: deviceNodes},
		{ID: "files/setuid-root", What: "give a file to root, with root's bit", try: giveToRoot},
		{ID: "files/attributes", What: "capabilities and trusted attributes on a file", try: attributes},
	}
}

func hostFiles(_ context.Context, t Targets) result {
	if len(t.Files) == 0 {
		return absent("none is known")
	}
	for _, path := range t.Files {
		if _, err := os.Lstat(path); err == nil {
			return through("%s is there", path)
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return through("%s may be there: %s", path, attack.Plain(err))
		}
	}
	return stopped("%d looked for, none there", len(t.Files))
}

func throughProc(_ context.Context, t Targets) result {
	if len(t.Files) == 0 {
		return absent("none is known")
	}
	roots, err := filepath.Glob("/proc/[0-9]*/root")
	if err != nil {
		return stopped("%v", err)
	}
	cwds, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is good
	ups := strings.Repeat("../", 16)
	for _, path := range t.Files {
		for _, root := range append(roots, "/proc/self/root", "/proc/thread-self/root") {
			if _, err := os.Lstat(root + path); err == nil {
				return through("%s", root+path)
			}
		}
		for _, cwd := range append(cwds, ".", "/proc/self/fd/0", "/proc/self/fd/3") {
			if _, err := os.Lstat(cwd + "/" + ups + path[1:]); err == nil {
				return through("%s", cwd+"/…"+path)
			}
		}
	}
	return stopped("%d roots lead nowhere else", len(roots))
}

// ownDirs are where a bottle may write.
func (t Targets) ownDirs() []string {
	home, _ := os.UserHomeDir() // empty is no prefix of anything below
	dirs := append([]string{"/tmp", "/var/tmp", "/run", "/dev", "/proc", "/sys"}, t.Writable...)
	if home != "" {
		dirs = append(dirs, home)
	}
	return dirs
}

// writeEverywhere makes a file in each directory, and removes it again.
func writeEverywhere(ctx context.Context, t Targets) result {
	own := t.ownDirs()
	tried := 0
	var found string
	_ = filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read is tried too, below
		}
		if !entry.IsDir() {
			return nil
		}
		if slices.Contains(own, path) || ctx.Err() != nil {
			return fs.SkipDir
		}
		tried++
		if unix.Access(path, unix.W_OK) != nil && tried%16 != 0 {
			return nil // each is asked, one of sixteen is tried all the same
		}
		name := filepath.Join(path, ".escape")
		file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return nil //nolint:nilerr // that is what is wanted
		}
		_ = file.Close()
		_ = os.Remove(name) // it was made here
		found = path
		return fs.SkipAll
	})
	if found != "" {
		return through("a file in %s", found)
	}
	return stopped("%d directories, none can be written to", tried)
}

func ownFiles(_ context.Context, _ Targets) result {
	paths := []string{
		"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt",
		"/etc/ld.so.preload", "/etc/ld.so.cache", "/.claude-bottle/claude-bottle", "/.dockerenv",
	}
	for _, path := range paths {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_ = file.Close()
			return through("%s can be written to", path)
		}
		if err := os.Rename(path, path+".escape"); err == nil {
			_ = os.Rename(path+".escape", path)
			return through("%s can be moved away", path)
		}
	}
	return stopped("%d files", len(paths))
}

func hardLinks(_ context.Context, t Targets) result {
	dir, err := scratch("links-")
	if err != nil {
		return result{"", err.Error()}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, path := range append([]string{"/etc/passwd", "/etc/shadow", "/.claude-bottle/claude-bottle", "/proc/1/exe", "/usr/bin/env"}, t.Files...) {
		if err := os.Link(path, filepath.Join(dir, "link")); err == nil {
			return through("a link to %s", path)
		}
	}
	return stopped("refused")
}

// home is where a bottle may write; empty for wherever temporary files go.
func home() string {
	if home, err := os.UserHomeDir(); err == nil {
		if info, err := os.Stat(home); err == nil && info.IsDir() {
			return home
		}
	}
	return ""
}

// scratch is a new directory.
func scratch(name string) (string, error) { return os.MkdirTemp(home(), name) }

// harmless devices are everybody's.
var harmless = []string{"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}

func devices(context.Context, Targets) result {
	seen := 0
	var found string
	_ = filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || strings.HasPrefix(path, "/dev/pts/") {
			return nil //nolint:nilerr // the rest is looked at
		}
		// What is mounted there, and not what the directory says of it.
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&fs.ModeDevice == 0 || strings.HasPrefix(filepath.Base(path), "watchdog") {
			return nil //nolint:nilerr // it is none, or would restart the machine where it opens
		}
		seen++
		if info.Mode()&fs.ModeCharDevice != 0 && slices.Contains(harmless, filepath.Base(path)) {
			return nil
		}
		for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY} {
			fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
			if err == nil {
				_ = unix.Close(fd)
				found = path
				return fs.SkipAll
			}
		}
		return nil
	})
	if found != "" {
		return through("%s is open", found)
	}
	return stopped("%d there, none but the harmless opens", seen)
}

func deviceNodes(_ context.Context, t Targets) result {
	dir, err := scratch("nodes-")
	if err != nil {
		return result{"", err.Error()}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "node")
	for _, node := range []struct {
		what         string
		kind         uint32
		major, minor uint32
	}{
		{"a disk", unix.S_IFBLK, 8, 0},
		{"a virtual disk", unix.S_IFBLK, 253, 0},
		{"the memory", unix.S_IFCHR, 1, 1},
		{"the kernel's log", unix.S_IFCHR, 1, 11},
		{"null", unix.S_IFCHR, 1, 3},
		{"fuse", unix.S_IFCHR, 10, 229},
	} {
		dev := int(unix.Mkdev(node.major, node.minor)) //nolint:gosec // G115: a small number
		if err := unix.Mknod(path, node.kind|0o600, dev); err == nil {
			return through("mknod: %s", node.what)
		}
		if err := unix.Mknodat(unix.AT_FDCWD, path, node.kind|0o600, dev); err == nil {
			return through("mknodat: %s", node.what)
		}
	}
	return stopped("refused")
}

func giveToRoot(_ context.Context, t Targets) result {
	file, err := os.CreateTemp(home(), "root-")
	if err != nil {
		return result{"", err.Error()}
	}
	defer func() { _ = os.Remove(file.Name()) }()
	defer func() { _ = file.Close() }()
	if err = file.Chown(0, 0); err == nil {
		return through("it belongs to root")
	}
	return stopped("%s", attack.Plain(err))
}

func attributes(_ context.Context, t Targets) result {
	file, err := os.CreateTemp(home(), "attributes-")
	if err != nil {
		return result{"", err.Error()}
	}
	defer func() { _ = os.Remove(file.Name()) }()
	defer func() { _ = file.Close() }()
	// vfs_cap_data of revision 2 with every capability permitted and effective.
	rights := []byte{1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 1, 0, 0, 0, 0, 0, 0}
	for _, name := range []string{"security.capability", "trusted.overlay.opaque"} {
		if err := unix.Fsetxattr(int(file.Fd()), name, rights, 0); err == nil { //nolint:gosec // G115: a descriptor
			return through("%s is set", name)
		}
	}
	return stopped("refused")
}
