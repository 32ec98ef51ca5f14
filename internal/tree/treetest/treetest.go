// Package treetest builds for tests what an agent could leave behind, and runs
// tests as root and as an ordinary user.
package treetest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Ordinary is a uid and gid that nothing on the machine belongs to.
const Ordinary = 64123

// EachUser runs body as this process's user, and when that is root once more
// as an ordinary one, in a process of its own. It may be used once a test.
func EachUser(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	t.Run("self", body)
	if os.Geteuid() != 0 {
		return
	}
	t.Run("ordinary", func(t *testing.T) {
		t.Helper()
		test := strings.TrimSuffix(t.Name(), "/ordinary")
		tmp := Reachable(t)
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+regexp.QuoteMeta(test)+"$/^self$", "-test.v")
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Ordinary, Gid: Ordinary}}
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+test+"/self")) {
			t.Fatalf("as an ordinary user: %v\n%s", err, out)
		}
	})
}

// Reachable returns a new directory that belongs to Ordinary and that it can
// get at, unlike those of testing.T.TempDir.
func Reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "reachable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, Ordinary, Ordinary); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Deep makes directories called name in each other below dir, so many levels
// that no path leads to the last, and calls inside in the last one.
func Deep(t testing.TB, dir, name string, levels int, inside func(fd int)) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range levels {
		if err := unix.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(fd)
		fd = next
	}
	if inside != nil {
		inside(fd)
	}
	_ = unix.Close(fd)
}

// File makes a file in the directory fd.
func File(t testing.TB, fd int, name, content string) {
	t.Helper()
	file, err := unix.Openat(fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(file, []byte(content)); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(file)
}

// Hostile fills dir with what makes a careless program fail or leave the
// tree: depth, names, modes, links to outside, a fifo, a socket, many files.
// It returns how many entries there are.
func Hostile(t testing.TB, dir, outside string) int {
	t.Helper()
	count := 0
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	below := func(name string) string { return dir + "/" + name }
	const levels = 200
	Deep(t, dir, "d", levels, func(fd int) { File(t, fd, "last", "x") })
	count += levels + 1
	Deep(t, dir, strings.Repeat("long", 60), 30, nil) // longer than any path
	count += 30
	for _, name := range []string{"\xff\xfe", "new\nline", "\x1b]52;c;eA==\a", "-rf", " ", "*"} {
		must(os.WriteFile(below(name), nil, 0o600))
	}
	must(os.Mkdir(below("shut"), 0o755))
	must(os.Mkdir(below("shut/in"), 0o755))
	must(os.WriteFile(below("shut/in/file"), nil, 0))
	must(os.Mkdir(below("read-only"), 0o755))
	must(os.WriteFile(below("read-only/file"), nil, 0o400))
	must(os.Symlink(outside, below("link")))
	must(os.Symlink("/", below("root")))
	must(os.Symlink(".", below("loop")))
	must(unix.Mkfifo(below("fifo"), 0o600))
	must(os.Link(below("-rf"), below("hard")))
	must(os.Mkdir(below("many"), 0o755))
	for i := range 500 {
		must(os.WriteFile(below("many/")+string(rune('a'+i%26))+strings.Repeat("x", 1+i/26), nil, 0o600))
	}
	must(errors.Join(os.Chmod(below("shut/in"), 0), os.Chmod(below("shut"), 0), os.Chmod(below("read-only"), 0o500)))
	return count - 1
}
