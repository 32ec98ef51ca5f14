package provision

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/tree"
	"claude-bottle/internal/tree/treetest"
)

func TestWrite(t *testing.T) {
	treetest.EachUser(t, func(t *testing.T) {
		uid, gid := os.Geteuid(), os.Getegid()
		if uid == 0 {
			uid, gid = treetest.Ordinary, treetest.Ordinary+1
		}
		for _, umask := range []int{0, 0o022, 0o277} {
			dir := t.TempDir()
			old := unix.Umask(umask)
			err := Write(dir, []File{
				{Root: Home, Path: ".claude/prompt.txt", Mode: 0o600, Data: []byte("secret")},
				{Root: Home, Path: ".claude/settings.json", Mode: 0o644, Data: []byte("{}")},
				{Root: Etc, Path: "passwd", Mode: 0o444, Data: []byte("x")},
				{Root: Etc, Path: "\xff odd", Mode: 0, Data: nil},
			}, uid, gid)
			unix.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			for path, want := range map[string]fs.FileMode{
				"home": fs.ModeDir | 0o700, "home/.claude": fs.ModeDir | 0o700, "etc": fs.ModeDir | 0o755,
				"home/.claude/prompt.txt": 0o600, "home/.claude/settings.json": 0o644, "etc/passwd": 0o444, "etc/\xff odd": 0,
			} {
				var stat unix.Stat_t
				info, err := os.Lstat(filepath.Join(dir, path))
				if err != nil || info.Mode() != want {
					t.Errorf("umask %03o: %q has mode %v, %v; want %v", umask, path, info.Mode(), err, want)
				}
				if err := unix.Lstat(filepath.Join(dir, path), &stat); err != nil || int(stat.Uid) != uid || int(stat.Gid) != gid {
					t.Errorf("%q belongs to %d:%d, want %d:%d", path, stat.Uid, stat.Gid, uid, gid)
				}
			}
			if data, err := os.ReadFile(filepath.Join(dir, "home/.claude/prompt.txt")); string(data) != "secret" {
				t.Errorf("the prompt holds %q, %v", data, err)
			}
		}
	})
}

func TestWriteNeverFollowsLinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	victim := filepath.Join(outside, "victim")
	err := errors.Join(os.WriteFile(victim, []byte("whole"), 0o600), os.MkdirAll(filepath.Join(dir, "home/sub"), 0o700),
		os.Symlink(outside, filepath.Join(dir, "home/link")), os.Symlink(victim, filepath.Join(dir, "home/sub/file")),
		os.Symlink(filepath.Join(outside, "new"), filepath.Join(dir, "home/dangling")), os.Symlink(outside, filepath.Join(dir, "etc")))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []File{
		{Root: Home, Path: "link/victim"},
		{Root: Home, Path: "link/made"},
		{Root: Home, Path: "sub/file"},
		{Root: Home, Path: "dangling"},
		{Root: Etc, Path: "passwd"},
	} {
		file.Mode, file.Data = 0o644, []byte("broken")
		if err := Write(dir, []File{file}, os.Geteuid(), os.Getegid()); err == nil {
			t.Errorf("%s/%s was written through a link", file.Root, file.Path)
		}
	}
	names, err := os.ReadDir(outside)
	if err != nil || len(names) != 1 {
		t.Errorf("outside holds %v, %v", names, err)
	}
	if data, _ := os.ReadFile(victim); string(data) != "whole" {
		t.Errorf("the victim holds %q", data)
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(file File) error { return Write(dir, []File{file}, os.Geteuid(), os.Getegid()) }
	for _, path := range []string{"", ".", "..", "../x", "a/../b", "/etc/x", "a//b", "a/", "./a", "a\x00b"} {
		if err := write(File{Root: Home, Path: path, Mode: 0o600}); !errors.Is(err, tree.ErrUnclean) {
			t.Errorf("path %q: %v, want ErrUnclean", path, err)
		}
	}
	if err := write(File{Root: "work", Path: "x", Mode: 0o600}); err == nil {
		t.Error("a file went into work")
	}
	if err := write(File{Root: Home, Path: "x", Mode: 0o755 | fs.ModeSetuid}); err == nil {
		t.Error("a setuid file was written")
	}
	if err := write(File{Root: Home, Path: "once", Mode: 0o600, Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	err := write(File{Root: Home, Path: "once", Mode: 0o600, Data: []byte("2")})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file was written twice: %v", err)
	}
	if data, _ := os.ReadFile(filepath.Join(dir, "home/once")); string(data) != "1" {
		t.Errorf("the first content became %q", data)
	}
}

func TestWriteToAFullDisk(t *testing.T) {
	dir := treetest.Disk(t, "64k")
	err := Write(dir, []File{{Root: Home, Path: "big", Mode: 0o600, Data: []byte(strings.Repeat("x", 1<<20))}}, 0, 0)
	if !errors.Is(err, unix.ENOSPC) || hint.Of(err) == "" {
		t.Errorf("%v (hint %q)", err, hint.Of(err))
	}
	if names, _ := os.ReadDir(filepath.Join(dir, "home")); len(names) != 0 {
		t.Errorf("half a file is left: %v", names)
	}
}
