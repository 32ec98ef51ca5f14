package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"claude-bottle/test/engine"
)

// What the machine is made of: a release of Debian and packages of it, the
// kernel among them, which apt of this machine knows where to get.
const suite = "trixie"

var packages = []string{
	"systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "udev", "kmod", "iproute2", "procps", "sudo",
	"apparmor", "bubblewrap", "git", "ca-certificates", "initramfs-tools", "zstd", "linux-image-cloud-amd64",
}

// setup is run in the machine's root directory before it is a disk.
//
//go:embed setup.sh
var setup string

// image is a machine's disk, and what it is booted with.
type image struct{ disk, kernel, initrd string }

// base is the image of a machine without our programs, made in the cache when it
// is not there: some minutes.
func base(ctx context.Context) (image, error) {
	cache, err := engine.Cache()
	if err != nil {
		return image{}, err
	}
	key := sha256.Sum256([]byte(suite + strings.Join(packages, ",") + setup))
	dir := filepath.Join(cache, "vm-"+hex.EncodeToString(key[:4]))
	made := image{filepath.Join(dir, "disk.img"), filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd.img")}
	if _, err := os.Stat(dir); err == nil {
		return made, nil
	}
	fmt.Fprintln(os.Stderr, "vm: making a machine with Debian's packages, once")
	draft, err := os.MkdirTemp(cache, "vm-draft-")
	if err != nil {
		return image{}, fmt.Errorf("make a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(draft) }() // of a machine that is whole nothing is left there
	if err := install(ctx, draft); err != nil {
		return image{}, err
	}
	return made, os.Rename(filepath.Join(draft, "made"), dir)
}

// install makes the image below draft/made.
func install(ctx context.Context, draft string) error {
	root, made := filepath.Join(draft, "root"), filepath.Join(draft, "made")
	if err := os.Mkdir(made, 0o755); err != nil {
		return err
	}
	if err := run(ctx, "debootstrap", "--variant=minbase", "--include="+strings.Join(packages, ","), suite, root); err != nil {
		return err
	}
	if err := run(ctx, "chroot", root, "/bin/sh", "-ec", setup); err != nil {
		return err
	}
	for pattern, name := range map[string]string{"vmlinuz-*": "vmlinuz", "initrd.img-*": "initrd.img"} {
		found, err := filepath.Glob(filepath.Join(root, "boot", pattern))
		if err != nil || len(found) != 1 {
			return errors.Join(fmt.Errorf("the machine has %d of %s", len(found), pattern), err)
		}
		if err := run(ctx, "cp", found[0], filepath.Join(made, name)); err != nil {
			return err
		}
	}
	return disk(ctx, root, filepath.Join(made, "disk.img"), "4G")
}

// disk makes a file system of a directory.
func disk(ctx context.Context, dir, path, size string) error {
	return run(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", dir, path, size)
}
