package tree_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/tree"
	"claude-bottle/internal/tree/treetest"
)

func open(t *testing.T, dir string) int {
	t.Helper()
	fd, err := tree.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// bed returns a directory with "tree", filled as an agent might, and
// "outside", with a canary; and how many entries tree has.
func bed(t *testing.T) (dir string, entries int) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"tree", "outside"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "outside", "canary"), []byte("alive"), 0o644); err != nil {
		t.Fatal(err)
	}
	entries = treetest.Hostile(t, filepath.Join(dir, "tree"), filepath.Join(dir, "outside"))
	t.Cleanup(func() {
		if err := tree.Remove(context.Background(), open(t, dir), "tree"); err != nil {
			t.Errorf("remove what the test made: %v", err)
		}
	})
	return dir, entries
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func TestRemoveHostileTree(t *testing.T) {
	treetest.EachUser(t, func(t *testing.T) {
		dir, _ := bed(t)
		if err := tree.Remove(context.Background(), open(t, dir), "tree"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "tree")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the tree is still there: %v", err)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "outside", "canary")); string(data) != "alive" {
			t.Errorf("what a link led to is gone: %v", err)
		}
		if err := tree.Remove(context.Background(), open(t, dir), "tree"); err != nil {
			t.Errorf("removing what is missing: %v", err)
		}
	})
}

func TestWalkSeesEverythingOnceWithFewDescriptors(t *testing.T) {
	treetest.EachUser(t, func(t *testing.T) {
		dir, entries := bed(t)
		start, most := descriptors(t), 0
		seen := 0
		walk := tree.Walk{Enter: func(_ int, entry tree.Entry) (bool, error) {
			if seen++; entry.Name == "last" || seen%1000 == 0 {
				most = max(most, descriptors(t)-start)
			}
			if entry.Name == "canary" {
				t.Error("the walk followed a link to outside")
			}
			return true, nil
		}}
		result, err := walk.Run(context.Background(), open(t, filepath.Join(dir, "tree")))
		if err != nil {
			t.Fatal(err)
		}
		want, faults := entries, 0
		if os.Geteuid() != 0 { // shut is shut: it, but not what is in it
			want, faults = entries-2, 1
		}
		if seen != want || result.Entries != want || result.Faults != faults {
			t.Errorf("saw %d entries, result %+v; want %d and %d faults", seen, result, want, faults)
		}
		if most > 80 {
			t.Errorf("the walk held %d descriptors", most)
		}
	})
}

func TestWalkGoesOnWhenItsWayIsMovedOut(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"tree/a", "outside/secret"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	treetest.Deep(t, filepath.Join(dir, "tree/a"), "d", 300, func(fd int) { treetest.File(t, fd, "last", "") })
	for _, name := range []string{"b", "c"} {
		if err := os.Mkdir(filepath.Join(dir, "tree", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	walk := tree.Walk{Enter: func(_ int, entry tree.Entry) (bool, error) {
		names = append(names, entry.Name)
		if entry.Name == "last" {
			// Level 120 now has a parent outside, and ".." leads there.
			deep := "tree/a/" + strings.TrimSuffix(strings.Repeat("d/", 120), "/")
			return false, os.Rename(filepath.Join(dir, deep), filepath.Join(dir, "outside", "moved"))
		}
		return true, nil
	}}
	result, err := walk.Run(context.Background(), open(t, filepath.Join(dir, "tree")))
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(names, "secret") {
		t.Error("the walk left the tree by ..")
	}
	if result.Faults != 1 {
		t.Errorf("%d faults, want 1", result.Faults)
	}
	if !slices.Contains(names, "b") || !slices.Contains(names, "c") {
		t.Error("the walk did not go on with the rest")
	}
}

func TestRemoveLeavesWhatIsMounted(t *testing.T) {
	treetest.NeedRoot(t)
	dir := t.TempDir()
	mounted := filepath.Join(dir, "tree", "a", "mounted")
	if err := os.MkdirAll(mounted, 0o755); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "source") // of the same file system: its device number tells nothing
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	canary := filepath.Join(source, "canary")
	if err := os.WriteFile(canary, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, mounted, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	err := tree.Remove(context.Background(), open(t, dir), "tree")
	if unmounted := unix.Unmount(mounted, unix.MNT_DETACH); unmounted != nil {
		t.Error(unmounted)
	}
	if !errors.Is(err, unix.EXDEV) {
		t.Errorf("removing a tree with a mount point: %v, want EXDEV", err)
	}
	if _, err := os.Lstat(canary); err != nil {
		t.Errorf("what was mounted is gone: %v", err)
	}
}

func TestWalkEnds(t *testing.T) {
	dir := t.TempDir()
	treetest.Deep(t, dir, "d", 50, nil)
	enter := func(int, tree.Entry) (bool, error) { return true, nil }
	_, err := tree.Walk{Enter: enter, Limit: 20}.Run(context.Background(), open(t, dir))
	if !errors.Is(err, tree.ErrTooMany) {
		t.Errorf("with a limit: %v, want ErrTooMany", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	seen := 0
	_, err = tree.Walk{Enter: func(int, tree.Entry) (bool, error) {
		if seen++; seen == 10 {
			cancel()
		}
		return true, nil
	}}.Run(ctx, open(t, dir))
	if !errors.Is(err, context.Canceled) || seen != 10 {
		t.Errorf("cancelled: %v after %d entries, want 10", err, seen)
	}
	end := errors.New("end")
	_, err = tree.Walk{Enter: func(int, tree.Entry) (bool, error) { return false, end }}.Run(context.Background(), open(t, dir))
	if !errors.Is(err, end) {
		t.Errorf("Enter's error became %v", err)
	}
}

func TestOpenDirRefusesLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "real", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	fd := open(t, dir)
	for path, good := range map[string]bool{
		"": true, "real": true, "real/sub": true,
		"link": false, "link/sub": false, "..": false, "real/../real": false, "/": false, "real//sub": false, "missing": false,
	} {
		got, err := tree.OpenDir(fd, path)
		if (err == nil) != good {
			t.Errorf("OpenDir(%q): %v", path, err)
		}
		if err == nil {
			_ = unix.Close(got)
		}
	}
	if _, err := tree.Open(filepath.Join(dir, "link")); err == nil {
		t.Error("Open followed a link")
	}
}

func TestOpenDirByALongPath(t *testing.T) {
	dir := t.TempDir()
	name := strings.Repeat("n", 200)
	treetest.Deep(t, dir, name, 60, func(fd int) { treetest.File(t, fd, "last", "") })
	t.Cleanup(func() { _ = tree.Remove(context.Background(), open(t, dir), name) })
	fd, err := tree.OpenDir(open(t, dir), strings.TrimSuffix(strings.Repeat(name+"/", 60), "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err := tree.Stat(fd, "last"); err != nil {
		t.Errorf("it is not the last directory: %v", err)
	}
}

func TestMakeDir(t *testing.T) {
	treetest.EachUser(t, func(t *testing.T) {
		old := unix.Umask(0o077)
		defer unix.Umask(old)
		dir := t.TempDir()
		self := tree.Owner{UID: os.Geteuid(), GID: os.Getegid()}
		fd := open(t, dir)
		made, err := tree.MakeDir(fd, "a/b", 0o751, self)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(made)
		for _, name := range []string{"a", "a/b"} {
			if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o751 {
				t.Errorf("%s: %v, %v; want mode 0751 whatever the umask", name, info.Mode(), err)
			}
		}
		if err := os.Symlink(t.TempDir(), filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"link", "link/x", "../x", "", "a/./c"} {
			if made, err := tree.MakeDir(fd, path, 0o755, self); err == nil {
				_ = unix.Close(made)
				t.Errorf("MakeDir(%q) works", path)
			}
		}
		if os.Geteuid() != 0 {
			if _, err := tree.MakeDir(fd, "gift", 0o755, tree.Owner{}); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("giving a directory to root: %v, want not permitted", err)
			}
		}
	})
}

func TestTenThousandLevels(t *testing.T) {
	dir := treetest.Disk(t, "64m")
	treetest.Deep(t, dir, "d", 10_000, nil)
	fd := open(t, dir)
	result, err := tree.Walk{Enter: func(int, tree.Entry) (bool, error) { return true, nil }}.Run(context.Background(), fd)
	if err != nil || result.Entries != 10_000 || result.Faults != 0 {
		t.Errorf("walk: %+v, %v", result, err)
	}
	if err := tree.Remove(context.Background(), fd, "d"); err != nil {
		t.Error(err)
	}
	if names, err := tree.Names(fd); err != nil || len(names) != 0 {
		t.Errorf("left are %q, %v", names, err)
	}
}
