package bottletest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/provision"
	"claude-bottle/internal/wire"
)

func provisioningRows() []row {
	return []row{
		{"files of home", homeFiles},
		{"files of etc", etcFiles},
		{"skills", skills},
		{"the home is the agent's alone", homeIsClosed},
		{"an empty workspace", emptyWorkspace},
		{"a copied workspace", copiedWorkspace},
		{"literals of the manifest", literals},
	}
}

func allBytes(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i ^ i>>8)
	}
	return data
}

func homeFiles(t *testing.T, s *suite) {
	files := []provision.File{
		{Path: "plain", Mode: 0o644, Data: []byte("text\n")},
		{Path: ".hidden", Mode: 0o600, Data: []byte("secret role\n")},
		{Path: "empty", Mode: 0o400},
		{Path: "with space", Mode: 0o755, Data: []byte("#!/bin/sh\n")},
		{Path: "-dash", Mode: 0o600, Data: []byte("-")},
		{Path: "new\nline", Mode: 0o600, Data: []byte("\n\n")},
		{Path: `quote'"\$x`, Mode: 0o640, Data: []byte("q")},
		{Path: "*", Mode: 0o600, Data: []byte("star")},
		{Path: "ünï→", Mode: 0o600, Data: []byte("utf-8")},
		{Path: "a/b/c/deep", Mode: 0o600, Data: []byte("deep")},
		{Path: "bytes", Mode: 0o600, Data: allBytes(1 << 20)},
	}
	spec := s.spec()
	for i := range files {
		files[i].Root = provision.Home
	}
	spec.Files = append(spec.Files, files...)
	b := s.launch(t, spec)
	owner := fmt.Sprintf("%d:%d", spec.UID, spec.GID)
	for _, file := range files {
		path := spec.Home + "/" + file.Path
		prints(t, b, fmt.Sprintf("%s %o\n", owner, file.Mode), `stat -c '%u:%g %a' -- "$1"`, path)
		if got := run(t, b, wire.Start{Argv: []string{"cat", "--", path}}, nil); got.stdout != string(file.Data) {
			t.Errorf("%q: %d bytes are not the %d that were written", file.Path, len(got.stdout), len(file.Data))
		}
	}
	prints(t, b, owner+"\n", `stat -c '%u:%g' "$1/a/b"`, spec.Home)
}

func etcFiles(t *testing.T, s *suite) {
	spec := s.spec()
	spec.Files = append(spec.Files, provision.File{
		Root: provision.Etc, Path: "claude-bottle/roots.pem", Mode: 0o644, Data: []byte("a root\n"),
	})
	b := s.launch(t, spec)
	path := bottle.EtcMount + "/claude-bottle/roots.pem"
	prints(t, b, "a root\n", `cat "$1"`, path)
	for _, attempt := range []string{`echo x >"$1"`, `echo x >>"$1"`, `rm "$1"`, `mv "$1" /tmp/x`, `chmod 777 "$1"`} {
		if got := sh(t, b, attempt, path); got.exit.Code == 0 {
			t.Errorf("%s succeeds", attempt)
		}
	}
	prints(t, b, "a root\n", `cat "$1"`, path)
}

func skills(t *testing.T, s *suite) {
	source := t.TempDir()
	writeTree(t, source, map[string]string{"SKILL.md": "# Skill", "bin/tool": "#!/bin/sh\necho tool\n", "deep/er/x": "x"})
	if err := os.Chmod(filepath.Join(source, "bin/tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("SKILL.md", filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	spec := s.spec()
	spec.Trees = append(spec.Trees, provision.Tree{Root: provision.Home, Path: ".claude/skills/one", Source: source})
	b := s.launch(t, spec)
	prints(t, b, "# Skill# Skilltool\nx", `cd "$HOME/.claude/skills/one" && cat SKILL.md link && bin/tool && cat deep/er/x`)
	prints(t, b, fmt.Sprintf("%d\n", spec.UID), `stat -c %u "$HOME/.claude/skills/one/deep/er"`)
	prints(t, b, "", `echo changed >"$HOME/.claude/skills/one/SKILL.md"`)
	if data, err := os.ReadFile(filepath.Join(source, "SKILL.md")); err != nil || string(data) != "# Skill" {
		t.Errorf("the person's own skill became %q, %v", data, err)
	}
}

func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func homeIsClosed(t *testing.T, s *suite) {
	spec := s.spec()
	b := s.launch(t, spec)
	prints(t, b, fmt.Sprintf("%d:%d 700\n", spec.UID, spec.GID), `stat -c '%u:%g %a' "$HOME"`)
	for _, name := range []string{bottle.HomeDir, bottle.WorkDir, bottle.GitDir, bottle.RecordDir} {
		info, err := os.Lstat(filepath.Join(s.store.Dir(b.Run()), name))
		if err != nil {
			t.Fatal(err)
		}
		if open := info.Mode().Perm() & 0o077; open != 0 && name != bottle.WorkDir {
			t.Errorf("%s of the run is open to others: %v", name, info.Mode())
		}
	}
}

func emptyWorkspace(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	prints(t, b, ".git\n", "ls -A "+bottle.Workspace)
	prints(t, b, "", "cd "+bottle.Workspace+" && echo made >file && mkdir dir && mkdir .git/refs && echo x >.git/HEAD")
	dir := s.store.Dir(b.Run())
	if data, err := os.ReadFile(filepath.Join(dir, bottle.WorkDir, "file")); err != nil || string(data) != "made\n" {
		t.Errorf("the person cannot watch the work grow: %q, %v", data, err)
	}
	if !exists(filepath.Join(dir, bottle.GitDir, "HEAD")) || exists(filepath.Join(dir, bottle.WorkDir, ".git", "HEAD")) {
		t.Error("the project's git directory is in the work directory")
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func copiedWorkspace(t *testing.T, s *suite) {
	cwd := t.TempDir()
	writeTree(t, cwd, map[string]string{
		"a.txt": "original", "gone.txt": "x", "dir/b": "b", "odd\nname": "odd",
		".git/HEAD": "ref: refs/heads/main\n", ".git/config": "[core]\n",
	})
	if err := os.WriteFile(filepath.Join(cwd, "bytes\xff"), allBytes(1000), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := s.spec()
	spec.Cwd = cwd
	b := s.launch(t, spec)
	prints(t, b, "originalbref: refs/heads/main\n", "cat a.txt dir/b .git/HEAD")
	prints(t, b, "odd", `cat "odd
name"`)
	if got := sh(t, b, "cat bytes*"); got.stdout != string(allBytes(1000)) {
		t.Error("a file whose name is not UTF-8 came in changed")
	}
	prints(t, b, fmt.Sprintf("%d\n", spec.UID), "stat -c %u .git/HEAD")
	prints(t, b, "", "echo changed >a.txt; rm gone.txt; echo new >new.txt; echo more >>.git/config")

	if data, err := os.ReadFile(filepath.Join(cwd, "a.txt")); err != nil || string(data) != "original" || !exists(filepath.Join(cwd, "gone.txt")) {
		t.Errorf("the person's own project changed: %q, %v", data, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	summary, err := bottle.Summarise(s.store, b.Run())
	if err != nil {
		t.Fatal(err)
	}
	if summary.Added != 1 || summary.Modified != 1 || summary.Deleted != 1 || summary.Unknown != "" {
		t.Errorf("summary: %+v", summary)
	}
	if !strings.Contains(summary.Line(), "1 added, 1 modified, 1 deleted") {
		t.Errorf("last line: %s", summary.Line())
	}
	data, err := os.ReadFile(filepath.Join(summary.Work, "a.txt"))
	if err != nil || !bytes.Equal(data, []byte("changed\n")) {
		t.Errorf("the work is not there: %q, %v", data, err)
	}
	entries, err := os.ReadDir(filepath.Join(summary.Work, ".git"))
	if err != nil && !os.IsNotExist(err) || len(entries) != 0 {
		t.Errorf("the work directory holds a git directory: %v, %v", entries, err)
	}
	if _, err := fs.Stat(os.DirFS(filepath.Join(s.store.Dir(b.Run()), bottle.GitDir)), "HEAD"); err != nil {
		t.Errorf("history is gone: %v", err)
	}
}

func literals(t *testing.T, s *suite) {
	spec := s.spec()
	values := []string{"", "plain", "with space", "a=b", "'\"$HOME\\`", "ünï→", "\ttab"}
	for i, value := range values {
		spec.Env = append(spec.Env, environ.Entry{Name: fmt.Sprintf("LITERAL_%d", i), Kind: environ.Literal, Value: value})
	}
	b := s.launch(t, spec)
	for i, value := range values {
		prints(t, b, value, fmt.Sprintf(`printf %%s "$LITERAL_%d"`, i))
	}
}
