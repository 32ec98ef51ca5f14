package workspace

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// git runs git, without the configuration of who runs the test.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// repository makes one with two commits.
func repository(t testing.TB, dir string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	git(t, dir, "init", "-q", "-b", "main")
	for _, text := range []string{"first", "second"} {
		put(t, dir, map[string]string{"file": text})
		git(t, dir, "add", ".")
		git(t, dir, "commit", "-q", "-m", text)
	}
}

// inside puts work and git together as they are mounted in a bottle, where
// the original does not exist.
func inside(t *testing.T, options CopyOptions, original string) string {
	t.Helper()
	must(t, os.RemoveAll(original))
	work := filepath.Join(t.TempDir(), "workspace")
	must(t, os.Rename(options.Work, work), os.Remove(filepath.Join(work, ".git")),
		os.Rename(options.Git, filepath.Join(work, ".git")))
	return work
}

func checkHistory(t *testing.T, work, log, status string) {
	t.Helper()
	if got := git(t, work, "log", "--format=%s"); got != log {
		t.Errorf("the log is %q, want %q", got, log)
	}
	if got := git(t, work, "status", "--porcelain"); got != status {
		t.Errorf("the status is %q, want %q", got, status)
	}
	if got := git(t, work, "rev-parse", "--show-toplevel"); got != work {
		t.Errorf("git takes %s for the worktree, want %s", got, work)
	}
	git(t, work, "fsck", "--strict")
}

func TestRepository(t *testing.T) {
	source := filepath.Join(t.TempDir(), "project")
	repository(t, source)
	put(t, source, map[string]string{"file": "changed", "new": ""})
	options := target(t, source)
	copyIn(t, options)
	checkHistory(t, inside(t, options, source), "second\nfirst", "M file\n?? new")
}

func TestLinkedWorktree(t *testing.T) {
	for name, bare := range map[string]bool{"beside its repository": false, "of a bare repository": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			main := filepath.Join(dir, "main")
			repository(t, main)
			if bare {
				git(t, dir, "clone", "-q", "--bare", main, filepath.Join(dir, "bare.git"))
				main = filepath.Join(dir, "bare.git")
			}
			source := filepath.Join(dir, "linked")
			git(t, main, "worktree", "add", "-q", "-b", "topic", source)
			put(t, source, map[string]string{"topic": "t"})
			git(t, source, "add", ".")
			git(t, source, "commit", "-q", "-m", "third")
			put(t, source, map[string]string{"staged": ""})
			git(t, source, "add", "staged")
			options := target(t, source)
			report := copyIn(t, options)
			if !report.Git || len(report.Notes) != 0 {
				t.Errorf("report is %+v", report)
			}
			work := inside(t, options, dir)
			checkHistory(t, work, "third\nsecond\nfirst", "A  staged")
			if branch := git(t, work, "branch", "--show-current"); branch != "topic" {
				t.Errorf("the branch is %q", branch)
			}
		})
	}
}

func TestSubmodule(t *testing.T) {
	dir := t.TempDir()
	other, super := filepath.Join(dir, "other"), filepath.Join(dir, "super")
	repository(t, other)
	repository(t, super)
	git(t, super, "-c", "protocol.file.allow=always", "submodule", "add", "-q", other, "sub")
	options := target(t, filepath.Join(super, "sub"))
	report := copyIn(t, options)
	if !report.Git || len(report.Notes) != 0 {
		t.Errorf("report is %+v", report)
	}
	checkHistory(t, inside(t, options, dir), "second\nfirst", "")
}

// A project that came from elsewhere must not get another repository of the
// person's copied into its bottle.
func TestMadeUpPointersAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	private := filepath.Join(dir, "private")
	repository(t, private)
	git(t, private, "worktree", "add", "-q", filepath.Join(dir, "linked"))
	secret := filepath.Join(private, ".git")
	module := filepath.Join(dir, "module")
	repository(t, module)
	git(t, module, "config", "core.worktree", private)
	for name, files := range map[string]map[string]string{
		"repository":                {".git": "gitdir: " + secret},
		"worktree of another":       {".git": "gitdir: " + secret + "/worktrees/linked"},
		"submodule of another":      {".git": "gitdir: " + module + "/.git"},
		"own directory, its common": {".git": "gitdir: own", "own/commondir": secret, "own/gitdir": "SOURCE/.git", "own/HEAD": "x"},
		"worktrees look-alike": {
			".git": "gitdir: x/worktrees/own", "x/worktrees/own/commondir": secret,
			"x/worktrees/own/gitdir": "SOURCE/.git", "x/worktrees/own/HEAD": "x",
		},
		"any directory": {".git": "gitdir: " + dir},
		"missing":       {".git": "gitdir: /nowhere"},
		"no pointer":    {".git": "something else"},
		"empty":         {".git": ""},
	} {
		source := filepath.Join(t.TempDir(), "project")
		for path, text := range files {
			put(t, source, map[string]string{path: strings.ReplaceAll(text, "SOURCE", source)})
		}
		options := target(t, source)
		report := copyIn(t, options)
		if names, _ := os.ReadDir(options.Git); len(names) != 0 || report.Git {
			t.Errorf("%s: git holds %v", name, names)
		}
		if report.Counts[GitPointer] != 1 || len(report.Lines()) != 1 {
			t.Errorf("%s: the report is %q", name, report.Lines())
		}
	}
}

func TestGitThatIsALink(t *testing.T) {
	private := filepath.Join(t.TempDir(), "private")
	repository(t, private)
	source := t.TempDir()
	must(t, os.Symlink(filepath.Join(private, ".git"), filepath.Join(source, ".git")))
	options := target(t, source)
	report := copyIn(t, options)
	if names, _ := os.ReadDir(options.Git); len(names) != 0 || report.Counts[GitLink] != 1 {
		t.Errorf("git holds %v, the report is %q", names, report.Lines())
	}
}

func TestBorrowedObjectsAreSaid(t *testing.T) {
	dir := t.TempDir()
	origin, source := filepath.Join(dir, "origin"), filepath.Join(dir, "clone")
	repository(t, origin)
	git(t, dir, "clone", "-q", "--shared", origin, source)
	if report := copyIn(t, target(t, source)); report.Counts[Alternates] != 1 {
		t.Errorf("the report is %q", report.Lines())
	}
}

// A git directory that keeps its objects elsewhere by a link is copied without
// them, which is said.
func TestObjectsThatAreALink(t *testing.T) {
	dir := t.TempDir()
	source, elsewhere := filepath.Join(dir, "project"), filepath.Join(dir, "elsewhere")
	repository(t, source)
	objects := filepath.Join(source, ".git", "objects")
	must(t, os.Rename(objects, elsewhere))
	must(t, os.Symlink(elsewhere, objects))
	options := target(t, source)
	report := copyIn(t, options)
	if _, err := os.Lstat(filepath.Join(options.Git, "objects")); err == nil || report.Counts[ObjectsLink] != 1 {
		t.Errorf("objects are there: %v, the report is %q", err, report.Lines())
	}
}
