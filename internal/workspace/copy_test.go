package workspace

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// put writes files below dir: "name" or "name/" for a directory.
func put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// target returns options for a copy of source to below a new directory.
func target(t testing.TB, source string) CopyOptions {
	dir := t.TempDir()
	return CopyOptions{
		Source: source, Work: filepath.Join(dir, "work"), Git: filepath.Join(dir, "git"),
		UID: os.Geteuid(), GID: os.Getegid(),
	}
}

func copyIn(t testing.TB, options CopyOptions) Report {
	t.Helper()
	report, err := CopyIn(context.Background(), options)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func content(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestHistoryGoesBesideTheWork(t *testing.T) {
	source := t.TempDir()
	put(t, source, map[string]string{
		"a.txt": "a", "deep/er/b.txt": "b",
		".git/HEAD": "ref: refs/heads/main\n", ".git/objects/aa/bb": "object", ".git/objects/info/packs": "",
		"sub/.git/HEAD": "nested",
	})
	options := target(t, source)
	report := copyIn(t, options)
	if got := content(t, filepath.Join(options.Work, "deep/er/b.txt")); got != "b" {
		t.Errorf("b.txt holds %q", got)
	}
	if got := content(t, filepath.Join(options.Git, "objects/aa/bb")); got != "object" {
		t.Errorf("the object holds %q", got)
	}
	if got := content(t, filepath.Join(options.Work, "sub/.git/HEAD")); got != "nested" {
		t.Errorf("the nested repository's HEAD holds %q", got)
	}
	names, err := os.ReadDir(filepath.Join(options.Work, ".git"))
	if err != nil || len(names) != 0 {
		t.Errorf("work/.git holds %v (%v), want an empty directory", names, err)
	}
	if !report.Git || report.Files != 6 {
		t.Errorf("report is %+v, want 6 files with history", report)
	}
}

func TestNoHistoryStillHasItsDirectories(t *testing.T) {
	options := target(t, t.TempDir())
	report := copyIn(t, options)
	for _, dir := range []string{options.Git, filepath.Join(options.Work, ".git")} {
		if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
			t.Errorf("%s holds %v (%v), want an empty directory", dir, names, err)
		}
	}
	if report.Git || len(report.Lines()) != 0 {
		t.Errorf("report is %+v", report)
	}
}
