package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/tree/treetest"
)

func snapshot(t testing.TB, work string) Snapshot {
	t.Helper()
	s, err := TakeSnapshot(context.Background(), work)
	must(t, err)
	return s
}

func compare(t testing.TB, s Snapshot, work string) Changes {
	t.Helper()
	changes, err := s.Compare(context.Background(), work)
	must(t, err)
	return changes
}

func TestChanges(t *testing.T) {
	work := t.TempDir()
	at := func(name string) string { return filepath.Join(work, name) }
	put(t, work, map[string]string{
		"same": "s", "written": "w", "replaced": "r", "mode": "m", "disguised": "d", "gone": "g",
		"dir/moved": "x", "dir/stays": "y", ".git/HEAD": "h", "sub/.git/HEAD": "h",
	})
	must(t, os.Symlink("a", at("link")), os.Symlink("a", at("relinked")))
	file := filepath.Join(t.TempDir(), "snapshot")
	must(t, snapshot(t, work).Save(file))
	before, err := LoadSnapshot(file)
	must(t, err)
	if changes := compare(t, before, work); changes != (Changes{}) {
		t.Fatalf("nothing changed, and the changes are %+v", changes)
	}
	info, err := os.Lstat(at("disguised"))
	must(t, err)
	must(t, os.WriteFile(at("written"), []byte("W"), 0o644),
		os.WriteFile(at("other"), []byte("r"), 0o644), os.Rename(at("other"), at("replaced")),
		os.Chmod(at("mode"), 0o755), os.Remove(at("gone")), os.Rename(at("dir/moved"), at("new")),
		// As an agent would that wants its change not to be seen.
		os.WriteFile(at("disguised"), []byte("D"), 0o644), os.Chtimes(at("disguised"), info.ModTime(), info.ModTime()),
		os.Remove(at("relinked")), os.Symlink("b", at("relinked")),
		os.WriteFile(at(".git/HEAD"), []byte("changed"), 0o644), os.WriteFile(at("sub/.git/HEAD"), []byte("changed"), 0o644),
		os.Mkdir(at("empty"), 0o755))
	want := map[change][]string{
		added:    {"new"},
		modified: {"disguised", "mode", "relinked", "replaced", "sub/.git/HEAD", "written"},
		deleted:  {"dir/moved", "gone"},
	}
	if got := changed(t, before, work); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("changed are %v, want %v", got, want)
	}
	if changes := compare(t, before, work); changes != (Changes{Added: 1, Modified: 6, Deleted: 2}) {
		t.Errorf("counts are %+v", changes)
	}
}

// changed are the paths of each change, sorted.
func changed(t *testing.T, s Snapshot, work string) map[change][]string {
	t.Helper()
	paths := map[change][]string{}
	_, err := s.compare(t.Context(), work, func(how change, path string) { paths[how] = append(paths[how], path) })
	must(t, err)
	for _, some := range paths {
		slices.Sort(some)
	}
	return paths
}

func TestChangesInAHostileTree(t *testing.T) {
	treetest.EachUser(t, func(t *testing.T) {
		work := t.TempDir()
		put(t, work, map[string]string{"a": "a", "dir/b": "b"})
		before := snapshot(t, work)
		must(t, os.RemoveAll(filepath.Join(work, "dir")), os.Symlink("/etc", filepath.Join(work, "dir")))
		treetest.Hostile(t, work, "/etc")
		t.Cleanup(func() {
			_ = os.Chmod(filepath.Join(work, "shut"), 0o700)
			_ = os.Chmod(filepath.Join(work, "shut/in"), 0o700)
			_ = os.Chmod(filepath.Join(work, "read-only"), 0o700)
		})
		changes := compare(t, before, work)
		paths := changed(t, before, work)
		if !slices.Equal(paths[deleted], []string{"dir/b"}) || changes.Deleted != 1 || changes.Modified != 0 || changes.Added < 500 {
			t.Errorf("changes are %+v, deleted are %q", changes, paths[deleted])
		}
		for _, path := range paths[added] {
			if strings.Contains(path, "passwd") {
				t.Errorf("the comparison followed a link: %q", path)
			}
		}
		if changes.Missed == 0 {
			t.Error("a path longer than any was not missed")
		}
	})
}

func TestSnapshotFileThatIsTorn(t *testing.T) {
	work := t.TempDir()
	put(t, work, map[string]string{"a": "", "dir/b": "", "dir/bc": "", "\xff": ""})
	var whole bytes.Buffer
	must(t, snapshot(t, work).Write(&whole))
	if s, err := ReadSnapshot(bytes.NewReader(whole.Bytes())); err != nil || len(s.files) != 4 {
		t.Fatalf("a whole one holds %d, %v", len(s.files), err)
	}
	for n := range whole.Len() {
		if _, err := ReadSnapshot(bytes.NewReader(whole.Bytes()[:n])); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%d bytes of %d: %v, want ErrSnapshot", n, whole.Len(), err)
		}
	}
	if _, err := ReadSnapshot(bytes.NewReader(append(whole.Bytes(), 0))); !errors.Is(err, ErrSnapshot) {
		t.Errorf("with more at its end: %v", err)
	}
}

func FuzzReadSnapshot(f *testing.F) {
	s := Snapshot{files: map[string]mark{"a": {1, 2, 3, 4}, "ab/c": {5, 1 << 40, -1, 0o100644}}}
	var whole bytes.Buffer
	must(f, s.Write(&whole))
	f.Add(whole.Bytes())
	f.Add([]byte(snapshotMagic + "\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte(snapshotMagic + "\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadSnapshot(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		must(t, s.Write(&again))
		if same, err := ReadSnapshot(&again); err != nil || len(same.files) != len(s.files) {
			t.Errorf("what was read is written as something else: %v", err)
		}
	})
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{"a/big": strings.Repeat("x", 1<<20), "b/one": "1"})
	at := func(name string) string { return filepath.Join(dir, name) }
	measure := func(paths ...string) Measure {
		t.Helper()
		m, err := Usage(context.Background(), paths...)
		must(t, err)
		return m
	}
	before := measure(at("a"), at("b"), at("missing"))
	if before.Bytes < 1<<20 || before.Bytes > 2<<20 || before.Entries != 2 || before.Faults != 0 {
		t.Errorf("1 MiB measures %+v", before)
	}
	// Neither names nor links nor holes take room.
	sparse, err := os.Create(at("b/sparse"))
	must(t, err, sparse.Truncate(1<<40), sparse.Close())
	must(t, os.Link(at("a/big"), at("b/again")), os.Symlink("/", at("b/link")))
	if after := measure(at("a"), at("b")); after.Bytes-before.Bytes > 64<<10 || after.Entries != 5 {
		t.Errorf("with names, links and holes %+v, before %+v", after, before)
	}
	must(t, os.WriteFile(at("b/more"), make([]byte, 3<<20), 0o600))
	if after := measure(at("a"), at("b")); after.Bytes-before.Bytes < 3<<20 {
		t.Errorf("3 MiB more measure %+v, before %+v", after, before)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Usage(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUsageOfDeepTrees(t *testing.T) {
	dir := treetest.Disk(t, "64m")
	treetest.Deep(t, dir, "d", 5_000, func(fd int) {
		treetest.File(t, fd, "hidden", strings.Repeat("x", 8<<20))
	})
	m, err := Usage(context.Background(), dir)
	if err != nil || m.Bytes < 8<<20 || m.Entries != 5_001 {
		t.Errorf("8 MiB below 5,000 directories measure %+v, %v", m, err)
	}
}

func BenchmarkCopyIn(b *testing.B) {
	source := project(b, 5_000)
	b.ResetTimer()
	for b.Loop() {
		options := target(b, source)
		copyIn(b, options)
	}
}

func BenchmarkLook(b *testing.B) {
	source := project(b, 5_000)
	s := snapshot(b, source)
	b.Run("snapshot", func(b *testing.B) {
		for b.Loop() {
			snapshot(b, source)
		}
	})
	b.Run("compare", func(b *testing.B) {
		for b.Loop() {
			compare(b, s, source)
		}
	})
	b.Run("usage", func(b *testing.B) {
		for b.Loop() {
			_, err := Usage(context.Background(), source)
			must(b, err)
		}
	})
}

// project makes a tree of files as small as those of most projects.
func project(b *testing.B, files int) string {
	b.Helper()
	dir := b.TempDir()
	text := strings.Repeat("All work and no play makes a dull file. ", 100)
	for i := range files {
		name := fmt.Sprintf("%s/d%d/e%d", dir, i%10, i%200)
		must(b, os.MkdirAll(name, 0o755), os.WriteFile(fmt.Sprintf("%s/f%d", name, i), []byte(text), 0o644))
	}
	unix.Sync()
	return dir
}
