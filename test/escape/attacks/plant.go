//go:build linux

package attacks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Planted is something that is left in a tree for the host's commands to step
// on.
type Planted struct {
	// ID is "tree/name".
	ID   string
	What string

	plant func(dir string, victim string) error
}

// Ran is the file in the victim's directory that is made when something of a
// tree was run on the host.
const Ran = "ran"

// Plants is every one of them.
func Plants() []Planted {
	return []Planted{
		{"tree/links", "links to the victim's file and directory, to /, upwards, through /proc, to devices, to themselves", plantLinks},
		{"tree/links-for-names", "links where commands expect files of their own: settings, prompts, ledgers, records", plantNames},
		{"tree/hard-links", "one file under many names", plantHardLinks},
		{"tree/fifos", "named pipes, which whoever opens waits at, and sockets", plantPipes},
		{"tree/modes", "files and directories that nobody may read, with every bit of setuid, setgid and sticky", plantModes},
		{"tree/deep", "directories deeper than any path is long", plantDeep},
		{"tree/wide", "thousands of files in a directory", plantWide},
		{"tree/sparse", "a file of a terabyte without a block", plantSparse},
		{"tree/names", "names with control bytes, escapes of terminals, newlines, bidirectional overrides, broken UTF-8, options and shell", plantWords},
		{"tree/attributes", "extended attributes", plantAttributes},
		{"tree/git-config", "a git directory whose configuration runs programs: fsmonitor, pager, editor, ssh, filters, aliases, includes", plantGitConfig},
		{"tree/git-hooks", "every hook, executable", plantGitHooks},
		{"tree/git-attributes", "attributes that name filters, merges and differences of that configuration", plantGitAttributes},
		{"tree/git-nested", "a repository within, and a directory that looks like a bare one", plantNested},
		{"tree/git-pointers", "files .git that point out, alternates and commondir that lead to the victim", plantPointers},
	}
}

// Plant plants everything below dir. victim is a directory of the host's,
// which a bottle knows the path of and no more.
func Plant(dir, victim string) error {
	var errs []error
	for _, p := range Plants() {
		at := dir
		if !strings.HasPrefix(p.ID, "tree/git") {
			at = filepath.Join(dir, filepath.Base(p.ID))
		}
		err := os.MkdirAll(at, 0o755)
		if err == nil {
			err = p.plant(at, victim)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.ID, err))
		}
	}
	return errors.Join(errs...)
}

func plantLinks(dir, victim string) error {
	var errs []error
	for name, to := range map[string]string{
		"file": victim + "/treasure", "directory": victim, "root": "/", "up": strings.Repeat("../", 20) + victim[1:], "self": "self",
		"proc": "/proc/self/root" + victim, "cwd": "/proc/self/cwd/..", "zero": "/dev/zero", "stdin": "/dev/stdin", "nowhere": "/nowhere",
		"long": strings.Repeat("a/", 2000), "a": "b", "b": "a", "passwd": "/etc/passwd", "shadow": "/etc/shadow",
	} {
		errs = append(errs, os.Symlink(to, filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// plantNames: in a bottle nothing of the launcher's is in reach, but whoever
// writes through a name that the agent chose would write here.
func plantNames(dir, victim string) error {
	var errs []error
	for _, name := range []string{"ledger.json", "egress.jsonl", "isolation.json", "claude-bottle.yaml", ".claude.json", "prompt", "nonce", "log", ".lock"} {
		errs = append(errs, os.Symlink(victim+"/treasure", filepath.Join(dir, name)))
	}
	for _, name := range []string{".claude", "work", "git", "home", "record", "etc"} {
		errs = append(errs, os.Symlink(victim, filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

func plantHardLinks(dir, _ string) error {
	first := filepath.Join(dir, "first")
	if err := os.WriteFile(first, []byte("one\n"), 0o600); err != nil {
		return err
	}
	for i := range 50 {
		if err := os.Link(first, fmt.Sprintf("%s-%d", first, i)); err != nil {
			return err
		}
	}
	return nil
}

func plantPipes(dir, _ string) error {
	for _, name := range []string{"fifo", "README.md", "package.json", ".gitignore"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			return err
		}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := os.Chdir(dir); err != nil { // a socket's path is short
		return err
	}
	return unix.Bind(fd, &unix.SockaddrUnix{Name: "socket"})
}

func plantModes(dir, _ string) error {
	for name, mode := range map[string]fs.FileMode{
		"none": 0, "setuid": 0o755 | fs.ModeSetuid, "setgid": 0o755 | fs.ModeSetgid, "write-only": 0o200, "all": 0o777 | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil { //nolint:gosec // G306: a program
			return err
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		if err := os.MkdirAll(path+"-dir/below", 0o700); err != nil {
			return err
		}
		if err := os.Chmod(path+"-dir", mode); err != nil {
			return err
		}
	}
	return nil
}

// plantDeep goes down by one directory at a time: no path is as long.
func plantDeep(dir, _ string) error {
	const deep = 60
	name := strings.Repeat("down", 25)
	at, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for range deep {
		if err = unix.Mkdirat(at, name, 0o755); err != nil {
			break
		}
		var next int
		next, err = unix.Openat(at, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		_ = unix.Close(at)
		at = next
	}
	_ = unix.Close(at)
	return err
}

func plantWide(dir, _ string) error {
	for i := range 2000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func plantSparse(dir, _ string) error {
	path := filepath.Join(dir, "terabyte")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	err := os.Truncate(path, 1<<40)
	if errors.Is(err, unix.EFBIG) {
		return os.Truncate(path, 1<<33) // what the file system takes
	}
	return err
}

// Words are names that say more to a terminal, or to a shell, than their bytes.
func Words() []string {
	return []string{
		"\x1b]0;title\x07", "\x1b]52;c;cHduZWQ=\x07", "\x1b[2J\x1b[H", "\x1b[31mred", "\x1bc", "\x1b[6n", "\x1bP$q\x1b\\", "bell\x07",
		"line\nerror: it is all well", "return\rclaude-bottle: run ended (0)", "back\x08\x08\x08", "\u009b2J", "\u202egnp.exe", "\u2066isolate", "tab\there",
		"\xff\xfe broken", "-rf", "--help", "$(touch ran)", "`touch ran`", "; touch ran", "| cat", "'quote", "\"double", " ", "a b", strings.Repeat("n", 255),
		"\x7f", "\u200b", "\u2028", "%s%n", "<script>", "{{.}}",
	}
}

func plantWords(dir, _ string) error {
	var errs []error
	for _, name := range Words() {
		err := os.WriteFile(filepath.Join(dir, name), []byte("x\n"), 0o600)
		if errors.Is(err, unix.EILSEQ) || errors.Is(err, unix.EINVAL) {
			continue // a file system that takes only some
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func plantAttributes(dir, _ string) error {
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	err := unix.Setxattr(path, "user.escape\x1b[2J", []byte("\x1b]0;x\x07"), 0)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// command makes the victim's file.
func command(victim string) string { return "touch " + victim + "/" + Ran }

func gitConfig(victim string) string {
	run := command(victim)
	return `[core]
	repositoryformatversion = 0
	bare = false
	fsmonitor = "` + run + `"
	pager = "` + run + `"
	editor = "` + run + `"
	sshCommand = "` + run + `"
	hooksPath = hooks
	attributesFile = attributes
	askPass = "` + run + `"
	worktree = ` + victim + `
[filter "run"]
	clean = "` + run + `"
	smudge = "` + run + `"
	process = "` + run + `"
[diff "run"]
	command = "` + run + `"
	textconv = "` + run + `"
[merge "run"]
	driver = "` + run + `"
[alias]
	status = "!` + run + `"
[include]
	path = ` + victim + `/treasure
[credential]
	helper = "!` + run + `"
[gpg]
	program = "` + run + `"
[remote "origin"]
	url = ext::` + run + `
	uploadpack = "` + run + `"
[uploadpack]
	packObjectsHook = "` + run + `"
`
}

// gitDirs are where git's own files could be looked for.
func gitDirs(dir string) []string { return []string{filepath.Join(dir, ".git")} }

func plantGitConfig(dir, victim string) error {
	for _, git := range gitDirs(dir) {
		if err := bareRepository(git, victim); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, ".gitmodules"), []byte("[submodule \"x\"]\n\tpath = sub\n\turl = ext::"+command(victim)+"\n\tupdate = !"+command(victim)+"\n"), 0o600)
}

func bareRepository(git, victim string) error {
	for _, below := range []string{"objects/info", "refs/heads", "hooks", "info"} {
		if err := os.MkdirAll(filepath.Join(git, below), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(git, "config"), []byte(gitConfig(victim)), 0o600),
		os.WriteFile(filepath.Join(git, "config.worktree"), []byte(gitConfig(victim)), 0o600),
		os.WriteFile(filepath.Join(git, "HEAD"), []byte("ref: refs/heads/main\n"), 0o600),
		os.WriteFile(filepath.Join(git, "info/attributes"), []byte("* filter=run diff=run merge=run\n"), 0o600),
	)
}

func plantGitHooks(dir, victim string) error {
	for _, git := range gitDirs(dir) {
		for _, hook := range []string{
			"applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "commit-msg", "post-commit", "pre-rebase", "post-checkout", "post-merge",
			"pre-push", "pre-receive", "update", "post-receive", "post-update", "reference-transaction", "post-index-change", "fsmonitor-watchman", "post-rewrite", "pre-auto-gc",
		} {
			path := filepath.Join(git, "hooks", hook)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+command(victim)+"\n"), 0o755); err != nil { //nolint:gosec // G306: a program
				return err
			}
		}
	}
	return nil
}

func plantGitAttributes(dir, _ string) error {
	return errors.Join(
		os.WriteFile(filepath.Join(dir, ".gitattributes"), []byte("* filter=run diff=run merge=run text eol=crlf\n"), 0o600),
		os.WriteFile(filepath.Join(dir, ".gitconfig"), []byte("[core]\n\tfsmonitor = true\n"), 0o600),
	)
}

func plantNested(dir, victim string) error {
	nested := filepath.Join(dir, "nested")
	return errors.Join(
		bareRepository(filepath.Join(nested, ".git"), victim), plantGitHooks(nested, victim), bareRepository(filepath.Join(dir, "bare"), victim),
		bareRepository(filepath.Join(dir, "bare", "nested"), victim),
	)
}

func plantPointers(dir, victim string) error {
	var errs []error
	for name, to := range map[string]string{"pointer": victim, "relative": strings.Repeat("../", 16) + victim[1:], "loop": "."} {
		errs = append(errs, os.MkdirAll(filepath.Join(dir, name), 0o755),
			os.WriteFile(filepath.Join(dir, name, ".git"), []byte("gitdir: "+to+"\n"), 0o600))
	}
	git := filepath.Join(dir, ".git")
	return errors.Join(append(errs,
		os.MkdirAll(filepath.Join(git, "objects/info"), 0o755), os.MkdirAll(filepath.Join(git, "worktrees/x"), 0o755),
		os.WriteFile(filepath.Join(git, "objects/info/alternates"), []byte(victim+"\n"), 0o600),
		os.WriteFile(filepath.Join(git, "worktrees/x/gitdir"), []byte(victim+"/.git\n"), 0o600),
		os.WriteFile(filepath.Join(git, "worktrees/x/commondir"), []byte(victim+"\n"), 0o600),
		os.Symlink(victim, filepath.Join(git, "modules")), os.Symlink(victim+"/treasure", filepath.Join(git, "packed-refs")),
	)...)
}

// Race changes what names mean, as fast as it can, until end is closed: a
// directory and a link to the victim, a file and a link to the victim's file, a
// file and a pipe; and a directory that is moved elsewhere and back.
func Race(dir, victim string, end <-chan struct{}) error {
	pairs := [][2]string{{"directory", "directory-link"}, {"file", "file-link"}, {"plain", "pipe"}, {"outer", "outer-link"}}
	at := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(
		os.MkdirAll(at("directory/below"), 0o755), os.WriteFile(at("directory/treasure"), []byte("harmless\n"), 0o600),
		os.Symlink(victim, at("directory-link")),
		os.WriteFile(at("file"), []byte("harmless\n"), 0o600), os.Symlink(victim+"/treasure", at("file-link")),
		os.WriteFile(at("plain"), []byte("harmless\n"), 0o600), unix.Mkfifo(at("pipe"), 0o600),
		os.MkdirAll(at("outer/"+filepath.Base(victim)), 0o755), os.Symlink(filepath.Dir(victim), at("outer-link")),
		os.MkdirAll(at("moved/a/b/c"), 0o755), os.WriteFile(at("moved/a/b/c/file"), []byte("harmless\n"), 0o600),
	)
	for i := range 200 {
		err = errors.Join(err, os.WriteFile(at(fmt.Sprintf("directory/%d", i)), []byte("harmless\n"), 0o600))
	}
	if err != nil {
		return err
	}
	swaps := 0
	for tick := time.NewTicker(50 * time.Microsecond); ; {
		select {
		case <-end:
			tick.Stop()
			if swaps == 0 {
				return errors.New("nothing was swapped")
			}
			return nil
		case <-tick.C:
		}
		for _, pair := range pairs {
			if exchanged := unix.Renameat2(unix.AT_FDCWD, at(pair[0]), unix.AT_FDCWD, at(pair[1]), unix.RENAME_EXCHANGE); exchanged == nil {
				swaps++
			} else {
				swaps += byHand(at(pair[0]), at(pair[1]))
			}
		}
		if os.Rename(at("moved/a/b"), at("elsewhere")) == nil {
			_ = os.Rename(at("elsewhere"), at("moved/a/b")) // or at the next turn
		}
	}
}

// byHand exchanges names where the kernel does not.
func byHand(a, b string) int {
	if os.Rename(a, a+".swap") != nil || os.Rename(b, a) != nil || os.Rename(a+".swap", b) != nil {
		return 0
	}
	return 1
}
