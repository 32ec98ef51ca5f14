package workspace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/tree/treetest"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestOddThings(t *testing.T) {
	treetest.EachUser(t, func(t *testing.T) {
		source := t.TempDir()
		at := func(name string) string { return filepath.Join(source, name) }
		secret := filepath.Join(t.TempDir(), "secret")
		put(t, source, map[string]string{
			"plain": "p", "\xff\xfe\n": "bytes", "dir/\x80": "deep bytes", "set": "uid", "shut/in": "x", "locked": "x",
		})
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", at("socket"))
		must(t, err)
		defer func() { _ = listener.Close() }()
		when := time.Date(2020, 2, 3, 4, 5, 6, 789, time.UTC)
		must(t, os.WriteFile(secret, []byte("secret"), 0o600), unix.Mkfifo(at("fifo"), 0o644),
			os.Symlink(secret, at("absolute")), os.Symlink("../../x", at("dir/up")), os.Symlink("dir", at("inner")),
			os.Symlink("nowhere", at("dangling")), os.Symlink("../plain", at("dir/across")), os.Link(at("plain"), at("hard")),
			os.Chmod(at("set"), 0o754|os.ModeSetuid|os.ModeSetgid), os.Chmod(at("dir"), 0o750|os.ModeSticky),
			os.Chmod(at("shut"), 0), os.Chmod(at("locked"), 0),
			os.Chtimes(at("plain"), when, when), os.Chtimes(at("dir"), when, when))
		t.Cleanup(func() { _ = os.Chmod(at("shut"), 0o700) })
		root := os.Geteuid() == 0
		if root {
			must(t, unix.Mknod(at("device"), unix.S_IFCHR|0o600, 0x0103))
		}
		options := target(t, source)
		if root {
			options.UID, options.GID = treetest.Ordinary, treetest.Ordinary
		}
		report := copyIn(t, options)
		copied := func(name string) string { return filepath.Join(options.Work, name) }
		t.Cleanup(func() { _ = os.Chmod(copied("shut"), 0o700) })

		for name, want := range map[string]string{"plain": "p", "hard": "p", "\xff\xfe\n": "bytes", "dir/\x80": "deep bytes"} {
			if got := content(t, copied(name)); got != want {
				t.Errorf("%q holds %q", name, got)
			}
		}
		for name, want := range map[string]string{
			"absolute": secret, "dir/up": "../../x", "inner": "dir", "dangling": "nowhere", "dir/across": "../plain",
		} {
			if got, err := os.Readlink(copied(name)); got != want {
				t.Errorf("%s leads to %q, %v; want %q", name, got, err, want)
			}
		}
		for name, want := range map[string]os.FileMode{"set": 0o754, "dir": os.ModeDir | 0o750, "plain": 0o644, "shut": os.ModeDir} {
			if info, err := os.Lstat(copied(name)); err != nil || info.Mode() != want {
				t.Errorf("%s has mode %v, %v; want %v", name, info.Mode(), err, want)
			}
		}
		for _, name := range []string{"plain", "dir"} {
			if info, err := os.Lstat(copied(name)); err != nil || !info.ModTime().Equal(when) {
				t.Errorf("%s is of %v, %v; want %v", name, info.ModTime(), err, when)
			}
		}
		if info, err := os.Lstat(copied("hard")); err != nil || info.Sys().(*syscall.Stat_t).Nlink != 1 {
			t.Errorf("hard is still one file with plain, %v", err)
		}
		for _, name := range []string{".", "plain", "dir", "inner", ".git", "../git"} {
			stat := unix.Stat_t{}
			must(t, unix.Lstat(copied(name), &stat))
			if int(stat.Uid) != options.UID || int(stat.Gid) != options.GID {
				t.Errorf("%s belongs to %d:%d, want %d:%d", name, stat.Uid, stat.Gid, options.UID, options.GID)
			}
		}
		for _, name := range []string{"socket", "fifo", "device"} {
			if _, err := os.Lstat(copied(name)); !os.IsNotExist(err) {
				t.Errorf("%s was copied: %v", name, err)
			}
		}
		want := []Note{{"absolute", LinkOut}, {"dir/up", LinkOut}, {"fifo", FIFO}, {"socket", Socket}}
		if root {
			want = append(want, Note{"device", Device})
		} else {
			want = append(want, Note{"locked", Unreadable}, Note{"shut", Unreadable})
		}
		for _, note := range want {
			if !slices.Contains(report.Notes, note) {
				t.Errorf("the report lacks %v", note)
			}
		}
		if len(report.Notes) != len(want) {
			t.Errorf("the report is %v, want %v", report.Notes, want)
		}
	})
}

func TestDirectoriesKeepModeAndTime(t *testing.T) {
	treetest.EachUser(t, func(t *testing.T) {
		source := t.TempDir() // of mode 0755
		put(t, source, map[string]string{"a/b/c/file": "", "a/b/other/file": "", "a/file": ""})
		when := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
		modes := map[string]os.FileMode{"a/b/c": 0o500, "a/b": 0o511, "a": 0o550}
		for _, name := range []string{"a/b/c", "a/b", "a"} { // shut from below
			must(t, os.Chtimes(filepath.Join(source, name), when, when), os.Chmod(filepath.Join(source, name), modes[name]))
		}
		options := target(t, source)
		t.Cleanup(func() {
			for _, name := range []string{"a", "a/b", "a/b/c"} {
				_ = os.Chmod(filepath.Join(source, name), 0o700)
				_ = os.Chmod(filepath.Join(options.Work, name), 0o700)
			}
		})
		copyIn(t, options)
		for name, mode := range modes {
			info, err := os.Lstat(filepath.Join(options.Work, name))
			if err != nil || info.Mode().Perm() != mode || !info.ModTime().Equal(when) {
				t.Errorf("%s has mode %v and time %v, %v; want %v and %v", name, info.Mode(), info.ModTime(), err, mode, when)
			}
		}
		for _, top := range []string{options.Work, options.Git} {
			if info, err := os.Lstat(top); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s has mode %v, %v; want it closed to others", top, info.Mode(), err)
			}
		}
	})
}

func TestReportIsBoundedAndEscaped(t *testing.T) {
	source := t.TempDir()
	for i := range 50 {
		must(t, unix.Mkfifo(filepath.Join(source, fmt.Sprintf("\x1b[2J%02d", i)), 0o600))
	}
	report := copyIn(t, target(t, source))
	lines := report.Lines()
	if len(lines) != notesMax+1 || report.Counts[FIFO] != 50 || !strings.Contains(lines[notesMax], "30 more") {
		t.Errorf("the report has %d lines: %q", len(lines), lines)
	}
	if text := strings.Join(lines, "\n"); strings.Contains(text, "\x1b") {
		t.Errorf("control bytes reach the person: %q", text)
	}
}

func TestBigAndSparseFiles(t *testing.T) {
	source := t.TempDir()
	big := strings.Repeat("0123456789abcdef", 70_000) // more than one buffer, not a multiple of it
	put(t, source, map[string]string{"big": big, "exact": big[:bufferSize], "one more": big[:bufferSize+1]})
	sparse, err := os.Create(filepath.Join(source, "sparse"))
	must(t, err)
	const size = 1 << 30
	_, err = sparse.WriteAt([]byte("middle"), size/2)
	must(t, err, sparse.Truncate(size), sparse.Close())
	options := target(t, source)
	copyIn(t, options)
	for name, want := range map[string]string{"big": big, "exact": big[:bufferSize], "one more": big[:bufferSize+1]} {
		if got := content(t, filepath.Join(options.Work, name)); got != want {
			t.Errorf("%s differs: %d bytes of %d", name, len(got), len(want))
		}
	}
	copied, err := os.Open(filepath.Join(options.Work, "sparse"))
	must(t, err)
	defer func() { _ = copied.Close() }()
	var stat unix.Stat_t
	must(t, unix.Fstat(int(copied.Fd()), &stat))
	if stat.Size != size || stat.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file has %d bytes and takes %d", stat.Size, stat.Blocks*512)
	}
	part := make([]byte, 6)
	if _, err := copied.ReadAt(part, size/2); err != nil || string(part) != "middle" {
		t.Errorf("its middle is %q, %v", part, err)
	}
}

func TestFilesThatChangeMeanwhile(t *testing.T) {
	source := t.TempDir()
	for i := range 400 {
		put(t, source, map[string]string{fmt.Sprintf("%d/a", i%20): "a", fmt.Sprintf("%d/f%d", i%20, i): strings.Repeat("x", 3000)})
	}
	var stop atomic.Bool
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		for i := 0; !stop.Load(); i++ {
			name := filepath.Join(source, fmt.Sprint(i%20), fmt.Sprintf("f%d", i%400))
			switch i % 4 {
			case 0:
				_ = os.Remove(name)
			case 1:
				_ = os.WriteFile(name, []byte("short"), 0o600)
			case 2:
				_ = os.Rename(filepath.Join(source, fmt.Sprint(i%20)), filepath.Join(source, fmt.Sprintf("moved%d", i)))
			case 3:
				_ = os.Symlink("/etc", name)
			}
		}
	}()
	options := target(t, source)
	_, err := CopyIn(context.Background(), options)
	stop.Store(true)
	<-changed
	if err != nil {
		t.Errorf("a source that changes fails the copy: %v", err)
	}
}

func TestCancelInTheMiddleOfAFile(t *testing.T) {
	source := t.TempDir()
	file, err := os.Create(filepath.Join(source, "huge"))
	must(t, err, unix.Fallocate(int(file.Fd()), 0, 0, 512<<20), file.Close())
	ctx, cancel := context.WithCancelCause(context.Background())
	interrupted := errors.New("interrupted by the person")
	options := target(t, source)
	options.Progress = func(_, bytes int64) {
		if bytes > 0 {
			cancel(interrupted)
		}
	}
	_, err = CopyIn(ctx, options)
	if !errors.Is(err, interrupted) {
		t.Errorf("%v, want the cause of the cancellation", err)
	}
	if info, err := os.Lstat(filepath.Join(options.Work, "huge")); err == nil && info.Size() > 256<<20 {
		t.Errorf("the copy went on to %d bytes", info.Size())
	}
}

func TestCopyToAFullDisk(t *testing.T) {
	dir := treetest.Disk(t, "1m")
	source := t.TempDir()
	put(t, source, map[string]string{"a": strings.Repeat("a", 700_000), "sub/b": strings.Repeat("b", 700_000)})
	_, err := CopyIn(context.Background(), CopyOptions{
		Source: source, Work: filepath.Join(dir, "work"), Git: filepath.Join(dir, "git"),
	})
	if !errors.Is(err, unix.ENOSPC) || hint.Of(err) == "" {
		t.Errorf("%v (hint %q), want that the disk is full", err, hint.Of(err))
	}
}

func TestProgressAddsUp(t *testing.T) {
	source := t.TempDir()
	for i := range 600 {
		put(t, source, map[string]string{fmt.Sprintf("d%d/f%d", i%3, i): "12345"})
	}
	options := target(t, source)
	var files, bytes int64
	options.Progress = func(f, b int64) {
		if f < files || b < bytes {
			t.Errorf("progress went back from %d, %d to %d, %d", files, bytes, f, b)
		}
		files, bytes = f, b
	}
	report := copyIn(t, options)
	if files != 600 || bytes != 3000 || report.Files != 600 || report.Dirs != 3 || report.Bytes != 3000 {
		t.Errorf("progress ended at %d files and %d bytes, report %+v", files, bytes, report)
	}
}

func TestDeepSource(t *testing.T) {
	source := t.TempDir()
	treetest.Deep(t, source, "d", 300, func(fd int) { treetest.File(t, fd, "last", "end") })
	treetest.Deep(t, source, strings.Repeat("n", 200), 25, nil)
	options := target(t, source)
	report := copyIn(t, options)
	if got := content(t, filepath.Join(options.Work, strings.Repeat("d/", 300), "last")); got != "end" {
		t.Errorf("last holds %q", got)
	}
	if report.Counts[TooLong] != 1 {
		t.Errorf("of a path longer than any the report says %v", report.Counts)
	}
}

func TestCopyTree(t *testing.T) {
	skills, home := t.TempDir(), t.TempDir()
	put(t, skills, map[string]string{"real/SKILL.md": "skill", "real/.git/HEAD": "x", "real/sub/run.sh": "sh"})
	must(t, os.Symlink("real", filepath.Join(skills, "review")), os.Symlink("/etc/passwd", filepath.Join(skills, "real/link")))
	options := TreeOptions{
		Source: filepath.Join(skills, "review"), Root: home, Path: ".claude/skills/review",
		UID: os.Geteuid(), GID: os.Getegid(),
	}
	report, err := CopyTree(context.Background(), options)
	must(t, err)
	copied := filepath.Join(home, ".claude/skills/review")
	for name, want := range map[string]string{"SKILL.md": "skill", ".git/HEAD": "x", "sub/run.sh": "sh"} {
		if got := content(t, filepath.Join(copied, name)); got != want {
			t.Errorf("%s holds %q", name, got)
		}
	}
	if got, err := os.Readlink(filepath.Join(copied, "link")); got != "/etc/passwd" || report.Counts[LinkOut] != 1 {
		t.Errorf("the link leads to %q, %v; the report says %v", got, err, report.Counts)
	}
	if _, err := CopyTree(context.Background(), options); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second copy to one place: %v", err)
	}
	outside := t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(home, "planted")))
	options.Path = "planted/x"
	if _, err := CopyTree(context.Background(), options); err == nil {
		t.Error("a copy went through a link")
	}
	options.Path, options.Source = "y", filepath.Join(skills, "real/SKILL.md")
	if _, err := CopyTree(context.Background(), options); err == nil {
		t.Error("a file was copied as a tree")
	}
}
